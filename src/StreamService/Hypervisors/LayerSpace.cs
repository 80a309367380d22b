using StreamService.Qemu.Disks;

namespace StreamService.Hypervisors;

/// <summary>The room that a disk's active layer has to grow.</summary>
/// <param name="Folder">Where it lies.</param>
/// <param name="FreeBytes">Bytes that are free on that file system.</param>
/// <param name="AllocatedBytes">Bytes that the file takes up already; null where the host does not tell.</param>
public sealed record LayerSpace(string Folder, long FreeBytes, long? AllocatedBytes)
{
    /// <summary>What this machine's own file system says; null for what is no file, or none that this process may look at.</summary>
    public static LayerSpace? OfLocalFile(string path)
    {
        try
        {
            if (!Path.IsPathRooted(path) || FileStatus.RealPath(path) is not { } file || FileStatus.Find(file) is not { Kind: FileKind.Regular } status)
                return null;
            var folder = Path.GetDirectoryName(file)!;
            return new LayerSpace(folder, new DriveInfo(folder).AvailableFreeSpace, status.Allocated);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>How many bytes are missing for so much more data; 0 where there is room.</summary>
    /// <param name="populated">Bytes of the disk that are in the layer.</param>
    /// <param name="remaining">Bytes that are still to come in.</param>
    public long MissingBytes(long populated, long remaining)
    {
        // What was allocated beforehand takes no further room.
        var reserved = Math.Max(0, (AllocatedBytes ?? populated) - populated);
        return Math.Max(0, remaining - reserved - FreeBytes);
    }
}
