using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;

namespace StreamService.Streaming;

/// <summary>The pipelined engine: export, map, populate, flush, drop the backing link, flush.</summary>
internal sealed class PipelinedRun(
    IHypervisor hypervisor,
    DiskAddress disk,
    StreamSpec spec,
    StreamPace pace,
    int clusterSize,
    StreamingOptions options,
    TimeProvider time) : IStreamRun
{
    /// <summary>How long the last flush of an interrupted run may take.</summary>
    private static readonly TimeSpan PartingFlush = TimeSpan.FromSeconds(5);

    /// <summary>
    /// While the guest is quiet, checkpoints come so much more often: the disk writes what was populated while the next is being
    /// populated, and the last flush has little left to do. A guest at work would wait behind each of them.
    /// </summary>
    private const int QuietCheckpoints = 8;

    private readonly GuestWatch _guest = new(hypervisor, disk, pace, time);
    private StreamSpec _spec = spec;
    private Populator? _populator;
    private long _remainingAtStart = -1;
    private long _remainingAtMap = -1;
    private long _streamedAtMap;
    private long _bytesDurable;

    /// <inheritdoc/>
    public long BytesStreamed => _populator?.BytesStreamed ?? 0;

    /// <inheritdoc/>
    public long BytesDurable => Interlocked.Read(ref _bytesDurable);

    /// <inheritdoc/>
    public long? BytesRemaining => Interlocked.Read(ref _remainingAtMap) is var remaining and >= 0
        ? Math.Max(0, remaining - (BytesStreamed - Interlocked.Read(ref _streamedAtMap)))
        : null;

    /// <inheritdoc/>
    public long? RemainingAtStart => Interlocked.Read(ref _remainingAtStart) is var remaining and >= 0 ? remaining : null;

    /// <inheritdoc/>
    public TimeSpan StalledFor => _populator?.StalledFor ?? TimeSpan.Zero;

    /// <inheritdoc/>
    public string? Yielding => _guest.Reason;

    /// <inheritdoc/>
    /// <remarks>The bandwidth is the pace's, which outlives the run; the rest counts with the next look at the guest, within 100 ms.</remarks>
    public void Change(StreamSpec spec) => Volatile.Write(ref _spec, spec);

    /// <inheritdoc/>
    /// <exception cref="NbdCommandException">QEMU could not bring a range in: the source, or the space.</exception>
    /// <exception cref="NbdException">The connection to QEMU broke.</exception>
    public async Task RunAsync(Func<Task> finalizing, CancellationToken cancellationToken)
    {
        await using var export = await hypervisor.ExportDiskAsync(disk.Domain, disk.Target, _spec.Offline, cancellationToken);
        await using var connection = await export.ConnectAsync(cancellationToken);
        var populator = _populator = new Populator(connection, export.Warm, pace, time);
        populator.SetWindow(AdaptiveController.Unknown.Window);

        using var whilePopulating = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var beside = Task.WhenAll(
            _guest.RunAsync(populator, () => Volatile.Read(ref _spec), clusterSize, options.InFlight, whilePopulating.Token),
            FlushAtCheckpointsAsync(export.Warm, whilePopulating.Token));
        try
        {
            await PopulateAsync(populator, export, cancellationToken);
        }
        finally
        {
            await whilePopulating.CancelAsync();
            await beside;
            if (cancellationToken.IsCancellationRequested)
                await FlushAtPartingAsync(export.Warm);
        }

        await finalizing();
        await DiskFinalizer.FinishAsync(hypervisor, disk, _spec.Base, export, () => Interlocked.Exchange(ref _bytesDurable, BytesStreamed), time, cancellationToken);
    }

    private async Task PopulateAsync(Populator populator, DiskExport export, CancellationToken cancellationToken)
    {
        for (long? before = null; ;)
        {
            var depth = await DiskFinalizer.BaseDepthAsync(hypervisor, disk, _spec.Base, cancellationToken);
            var map = await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken);
            var remaining = map.Remaining(depth).ToList();
            var bytes = map.RemainingBytes(depth);
            Interlocked.CompareExchange(ref _remainingAtStart, bytes, -1);
            Interlocked.Exchange(ref _streamedAtMap, populator.BytesStreamed);
            Interlocked.Exchange(ref _remainingAtMap, bytes);
            if (bytes == 0)
            {
                await populator.PopulateHolesAsync(map.RemainingHoles(depth), cancellationToken);
                return;
            }
            if (bytes >= before)
                throw new HypervisorException("NoProgress", $"{bytes} bytes stay in the backing chain although QEMU accepted every request to populate them.");
            before = bytes;
            await populator.PopulateAsync(remaining, depth, cancellationToken);
        }
    }

    private async Task FlushAtCheckpointsAsync(NbdClient warm, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100), time);
        var lastFlush = time.GetTimestamp();
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken))
            {
                var unflushed = BytesStreamed - BytesDurable;
                var due = _guest.IsQuiet ? options.CheckpointBytes / QuietCheckpoints : options.CheckpointBytes;
                if (unflushed == 0)
                    lastFlush = time.GetTimestamp();
                else if (unflushed >= due || time.GetElapsedTime(lastFlush) >= options.CheckpointInterval)
                {
                    await FlushAsync(warm, cancellationToken);
                    lastFlush = time.GetTimestamp();
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or NbdException)
        {
            // The stream's own connection finds out what is wrong, and says so.
        }
    }

    private async Task FlushAtPartingAsync(NbdClient warm)
    {
        using var deadline = new CancellationTokenSource(PartingFlush, time);
        try
        {
            await FlushAsync(warm, deadline.Token);
        }
        catch (Exception exception) when (exception is OperationCanceledException or NbdException)
        {
            // Then bytesDurable stays what it was, which is true.
        }
    }

    private async Task FlushAsync(NbdClient warm, CancellationToken cancellationToken)
    {
        // Only what was in when the flush began is safe when it ends.
        var streamed = BytesStreamed;
        await warm.FlushAsync(cancellationToken);
        Interlocked.Exchange(ref _bytesDurable, streamed);
    }
}
