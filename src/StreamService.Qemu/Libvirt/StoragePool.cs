using System.Runtime.InteropServices;
using System.Xml.Linq;

namespace StreamService.Qemu.Libvirt;

/// <summary>The storage pool behind a <see cref="LibvirtFolder"/>. Native: all of it is to be called on a thread for that.</summary>
internal sealed unsafe class StoragePool : IDisposable
{
    /// <summary>What the names of this library's transient pools begin with.</summary>
    private const string NamePrefix = "streamservice-";

    // virConnectListAllStoragePoolsFlags of libvirt-storage.h.
    private const uint ListInactive = 1 << 0;
    private const uint ListDir = 1 << 6;

    /// <summary>What is sent at once: less than VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX (256 KiB), which every daemon takes.</summary>
    private const int PieceLength = 128 * 1024;

    /// <summary>Kinds of pools whose volumes are the files of a folder.</summary>
    private static readonly string[] FileTypes = ["dir", "fs", "netfs", "vstorage"];

    private readonly ConnectHandle _connection;
    private readonly StoragePoolHandle _handle;

    private StoragePool(ConnectHandle connection, StoragePoolHandle handle, string path, bool ours)
    {
        _connection = connection;
        _handle = handle;
        Path = path;
        IsOurs = ours;
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>It is active for this library's sake: to be destroyed in the end.</summary>
    public bool IsOurs { get; }

    /// <summary>The active pool of a folder, that which is defined for it and now gets active, or a transient one.</summary>
    public static StoragePool Open(ConnectHandle connection, string path)
    {
        if (FindActive(connection, path) is { } active)
            return new StoragePool(connection, active, path, IsTransientOfOurs(active));
        // libvirt allows no second pool of a folder, inactive or not.
        if (FindInactive(connection, path) is { } inactive)
        {
            try
            {
                LibvirtConnection.Check(
                    NativeMethods.virStoragePoolCreate(inactive, 0), nameof(NativeMethods.virStoragePoolCreate));
                return new StoragePool(connection, inactive, path, ours: true);
            }
            catch
            {
                inactive.Dispose();
                throw;
            }
        }

        var xml = new XElement(
            "pool",
            new XAttribute("type", "dir"),
            new XElement("name", NamePrefix + Guid.NewGuid().ToString("N")[..8]),
            new XElement("target", new XElement("path", path)));
        var created = NativeMethods.virStoragePoolCreateXML(connection, xml.ToString(), 0);
        return created.IsInvalid
            ? throw LibvirtException.FromLastError(nameof(NativeMethods.virStoragePoolCreateXML))
            : new StoragePool(connection, created, path, ours: true);
    }

    public long GetAvailableBytes()
    {
        Refresh();
        LibvirtConnection.Check(
            NativeMethods.virStoragePoolGetInfo(_handle, out var info), nameof(NativeMethods.virStoragePoolGetInfo));
        return (long)info.Available;
    }

    public bool Exists(string name)
    {
        Refresh();
        using var volume = Find(name);
        return volume is not null;
    }

    public void Write(string name, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        Refresh();
        var xml = new XElement(
            "volume",
            new XElement("name", name),
            new XElement("capacity", new XAttribute("unit", "bytes"), content.Length),
            new XElement(
                "target",
                new XElement("format", new XAttribute("type", "raw")),
                new XElement("permissions", new XElement("mode", "0600"))));
        using var volume = NativeMethods.virStorageVolCreateXML(_handle, xml.ToString(), 0);
        if (volume.IsInvalid)
            throw LibvirtException.FromLastError(nameof(NativeMethods.virStorageVolCreateXML));
        try
        {
            if (!content.IsEmpty)
                Upload(volume, content.Span, cancellationToken);
            cancellationToken.ThrowIfCancellationRequested();
        }
        catch
        {
            // What went wrong matters, not whether this does too.
            _ = NativeMethods.virStorageVolDelete(volume, 0);
            throw;
        }
    }

    public bool Delete(string name)
    {
        Refresh();
        using var volume = Find(name);
        if (volume is null)
            return false;
        LibvirtConnection.Check(NativeMethods.virStorageVolDelete(volume, 0), nameof(NativeMethods.virStorageVolDelete));
        return true;
    }

    /// <summary>Makes it inactive, and a transient one nothing at all. Its files stay.</summary>
    public bool Destroy()
    {
        LibvirtConnection.Check(NativeMethods.virStoragePoolDestroy(_handle), nameof(NativeMethods.virStoragePoolDestroy));
        return true;
    }

    public void Dispose() => _handle.Dispose();

    private static StoragePoolHandle? FindActive(ConnectHandle connection, string path)
    {
        var pool = NativeMethods.virStoragePoolLookupByTargetPath(connection, path);
        if (pool.IsInvalid)
        {
            var error = LibvirtException.FromLastError(nameof(NativeMethods.virStoragePoolLookupByTargetPath));
            return error.Code == LibvirtErrorCode.NoStoragePool ? null : throw error;
        }

        if (FileTypes.Contains((string?)Describe(pool).Attribute("type")))
            return pool;
        pool.Dispose();
        return null;
    }

    private static StoragePoolHandle? FindInactive(ConnectHandle connection, string path)
    {
        var count = NativeMethods.virConnectListAllStoragePools(connection, out var pointers, ListInactive | ListDir);
        LibvirtConnection.Check(count, nameof(NativeMethods.virConnectListAllStoragePools));
        StoragePoolHandle? found = null;
        for (var i = 0; i < count; i++)
        {
            var pool = new StoragePoolHandle();
            Marshal.InitHandle(pool, pointers[i]);
            if (found is null && HasTarget(pool, path))
                found = pool;
            else
                pool.Dispose();
        }

        NativeMemory.Free(pointers);
        return found;
    }

    private static bool HasTarget(StoragePoolHandle pool, string path)
    {
        try
        {
            return (string?)Describe(pool).Element("target")?.Element("path") == path;
        }
        catch (LibvirtException)
        {
            // Undefined meanwhile.
            return false;
        }
    }

    private static bool IsTransientOfOurs(StoragePoolHandle pool)
    {
        var name = Marshal.PtrToStringUTF8((nint)NativeMethods.virStoragePoolGetName(pool)) ?? "";
        return name.StartsWith(NamePrefix, StringComparison.Ordinal) && NativeMethods.virStoragePoolIsPersistent(pool) == 0;
    }

    private static XElement Describe(StoragePoolHandle pool) => XElement.Parse(LibvirtConnection.TakeText(
        NativeMethods.virStoragePoolGetXMLDesc(pool, 0), nameof(NativeMethods.virStoragePoolGetXMLDesc)));

    /// <summary>libvirt knows the files that were there when it last looked.</summary>
    private void Refresh() =>
        LibvirtConnection.Check(NativeMethods.virStoragePoolRefresh(_handle, 0), nameof(NativeMethods.virStoragePoolRefresh));

    private StorageVolHandle? Find(string name)
    {
        var volume = NativeMethods.virStorageVolLookupByName(_handle, name);
        if (!volume.IsInvalid)
            return volume;
        var error = LibvirtException.FromLastError(nameof(NativeMethods.virStorageVolLookupByName));
        return error.Code == LibvirtErrorCode.NoStorageVolume ? null : throw error;
    }

    private void Upload(StorageVolHandle volume, ReadOnlySpan<byte> content, CancellationToken cancellationToken)
    {
        using var stream = NativeMethods.virStreamNew(_connection, 0);
        if (stream.IsInvalid)
            throw LibvirtException.FromLastError(nameof(NativeMethods.virStreamNew));
        LibvirtConnection.Check(
            NativeMethods.virStorageVolUpload(volume, stream, 0, (ulong)content.Length, 0),
            nameof(NativeMethods.virStorageVolUpload));
        try
        {
            while (!content.IsEmpty)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var piece = content[..Math.Min(content.Length, PieceLength)];
                fixed (byte* bytes = piece)
                {
                    var sent = NativeMethods.virStreamSend(stream, bytes, (nuint)piece.Length);
                    LibvirtConnection.Check(sent, nameof(NativeMethods.virStreamSend));
                    content = content[sent..];
                }
            }
        }
        catch
        {
            _ = NativeMethods.virStreamAbort(stream);
            throw;
        }

        // Only now has the daemon written all of it.
        LibvirtConnection.Check(NativeMethods.virStreamFinish(stream), nameof(NativeMethods.virStreamFinish));
    }
}
