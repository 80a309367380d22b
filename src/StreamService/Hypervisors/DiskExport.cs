using StreamService.Qemu.Nbd;

namespace StreamService.Hypervisors;

/// <summary>
/// A lease on the NBD export of one disk's active layer. The export lives in the QEMU that has the disk, is read-only, and knows
/// <c>qemu:allocation-depth</c>; a CACHE request on it populates the overlay.
/// </summary>
public sealed class DiskExport : IAsyncDisposable
{
    private readonly Func<CancellationToken, Task<NbdClient>> _connect;
    private Func<ValueTask>? _release;

    internal DiskExport(NbdClient warm, Func<CancellationToken, Task<NbdClient>> connect, Func<ValueTask> release)
    {
        Warm = warm;
        _connect = connect;
        _release = release;
    }

    /// <summary>The connection that all lease holders of this disk share, for short calls: steps, maps, flushes.</summary>
    public NbdClient Warm { get; }

    /// <summary>The disk's size in bytes, as the guest sees it.</summary>
    public long Size => Warm.Export.Size;

    /// <summary>A connection of one's own, for a stream that fills its window. The caller disposes of it.</summary>
    /// <exception cref="NbdException">QEMU is gone, or the export.</exception>
    public Task<NbdClient> ConnectAsync(CancellationToken cancellationToken) => _connect(cancellationToken);

    /// <summary>Gives the lease back. The export itself goes when nobody took it up again for a while.</summary>
    public ValueTask DisposeAsync() => Interlocked.Exchange(ref _release, null)?.Invoke() ?? ValueTask.CompletedTask;
}
