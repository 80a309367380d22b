using System.Runtime.InteropServices;
using System.Text;

namespace StreamService.Qemu.Disks;

/// <summary>What kind of file a path leads to.</summary>
public enum FileKind
{
    /// <summary>Bytes on a file system.</summary>
    Regular,

    /// <summary>A symbolic link.</summary>
    Link,

    /// <summary>A folder, FIFO, socket or device.</summary>
    Other,
}

/// <summary>A file as the file system describes it, read without opening it: opening a FIFO blocks, opening a device acts.</summary>
/// <param name="Modified">When its bytes last changed, in nanoseconds since 1970.</param>
/// <param name="Inode">Its number in its file system.</param>
/// <param name="Allocated">Bytes that it takes up on the disk, holes not counted.</param>
public readonly record struct FileStatus(FileKind Kind, long Size, long Modified, ulong Inode, long Allocated)
{
    /// <summary>The file at the path itself, links not followed; null where there is none.</summary>
    /// <exception cref="IOException">The file system refuses to tell.</exception>
    public static FileStatus? Find(string path)
    {
        if (NativeMethods.statx(NativeMethods.CurrentFolder, path, NativeMethods.NoFollow, NativeMethods.Wanted, out var status) != 0)
            return NothingOr(path);
        var kind = (status.Mode & NativeMethods.KindMask) switch
        {
            NativeMethods.RegularFile => FileKind.Regular,
            NativeMethods.SymbolicLink => FileKind.Link,
            _ => FileKind.Other,
        };
        return new FileStatus(kind, (long)status.Size, (status.ModifiedSeconds * 1_000_000_000) + status.ModifiedNanoseconds, status.Inode,
            (long)status.Blocks * NativeMethods.BlockSize);
    }

    /// <summary>The path with every link on its way followed (realpath(3)); null where it leads to nothing.</summary>
    /// <exception cref="IOException">The links go in a circle, or the file system refuses to tell.</exception>
    public static string? RealPath(string path)
    {
        var resolved = new byte[NativeMethods.LongestPath];
        if (NativeMethods.realpath(path, resolved) == 0)
        {
            NothingOr(path);
            return null;
        }
        return Encoding.UTF8.GetString(resolved.AsSpan(0, resolved.AsSpan().IndexOf((byte)0)));
    }

    private static FileStatus? NothingOr(string path) => Marshal.GetLastPInvokeError() switch
    {
        NativeMethods.NoEntry or NativeMethods.NotFolder => null,
        var error => throw new IOException($"{path}: {Marshal.GetPInvokeErrorMessage(error)}"),
    };
}
