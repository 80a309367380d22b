namespace StreamService.Qemu.Libvirt;

/// <summary>
/// A folder of a host's file system, near or far alike, over one <see cref="LibvirtConnection"/>, whose remarks on errors
/// and time limits hold here too.
/// </summary>
/// <remarks>
/// libvirt reaches files through storage pools. Where a pool is active there already, it is used and left as it is. One that
/// is defined but inactive is active meanwhile. Otherwise a transient one of this library's is there until the last user on
/// this connection has disposed the folder. Sockets, pipes and dangling links are no files to libvirt.
/// </remarks>
public sealed class LibvirtFolder : IAsyncDisposable
{
    private readonly LibvirtConnection _connection;
    private readonly StoragePool _pool;
    private int _disposed;

    internal LibvirtFolder(LibvirtConnection connection, StoragePool pool)
    {
        _connection = connection;
        _pool = pool;
    }

    /// <summary>Its absolute path.</summary>
    public string Path => _pool.Path;

    /// <summary>The free space of the file system it is on.</summary>
    public Task<long> GetAvailableBytesAsync(CancellationToken cancellationToken = default) =>
        _connection.CallFolderAsync(nameof(NativeMethods.virStoragePoolGetInfo), _pool.GetAvailableBytes, cancellationToken);

    /// <summary>Whether there is anything of that name.</summary>
    public Task<bool> ExistsAsync(string name, CancellationToken cancellationToken = default) =>
        _connection.CallFolderAsync(
            nameof(NativeMethods.virStorageVolLookupByName), () => _pool.Exists(name), cancellationToken);

    /// <summary>Writes a file that only the daemon's user may read. It is not there where that fails or is cancelled.</summary>
    /// <param name="content">Not to be changed before the daemon has it, which after a time-out is not known.</param>
    /// <exception cref="LibvirtException"><see cref="LibvirtErrorCode.StorageVolumeExists"/> where there is one of that name.</exception>
    public Task WriteFileAsync(string name, ReadOnlyMemory<byte> content, CancellationToken cancellationToken = default) =>
        _connection.CallFolderAsync(
            nameof(NativeMethods.virStorageVolUpload),
            () =>
            {
                _pool.Write(name, content, cancellationToken);
                return true;
            },
            cancellationToken);

    /// <summary>Deletes a file.</summary>
    /// <returns>False where there was none.</returns>
    public Task<bool> DeleteFileAsync(string name, CancellationToken cancellationToken = default) =>
        _connection.CallFolderAsync(nameof(NativeMethods.virStorageVolDelete), () => _pool.Delete(name), cancellationToken);

    /// <summary>Ends the use of the folder. Its files stay.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            await _connection.CloseFolderAsync(_pool);
    }

    /// <summary>As libvirt writes a pool's path: no slash twice, none at the end.</summary>
    /// <exception cref="ArgumentException">Not absolute.</exception>
    internal static string Normalize(string path)
    {
        if (!path.StartsWith('/'))
            throw new ArgumentException($"'{path}' is not an absolute path.", nameof(path));
        return "/" + string.Join('/', path.Split('/', StringSplitOptions.RemoveEmptyEntries));
    }
}
