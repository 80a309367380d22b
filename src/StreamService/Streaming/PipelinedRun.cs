using System.Runtime.CompilerServices;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;
using StreamService.Streaming.Profiles;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>The pipelined engine: export, map, populate, flush, drop the backing link, flush.</summary>
internal sealed class PipelinedRun(
    IHypervisor hypervisor,
    DiskAddress disk,
    StreamSpec spec,
    StreamPace pace,
    FindProfile findProfile,
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

    /// <summary>How often it looks whether what the guest boots from is there.</summary>
    private static readonly TimeSpan BootLook = TimeSpan.FromMilliseconds(500);

    private readonly StreamMeters _meters = new(disk.Host);
    private readonly GuestWatch _guest = new(hypervisor, disk, pace, time);
    private StreamSpec _spec = spec;
    private Populator? _populator;
    private long _remainingAtStart = -1;
    private long _remainingAtMap = -1;
    private long _streamedAtMap;
    private long _bytesDurable;
    private StrongBox<DateTimeOffset>? _bootReadyAt;
    private long _hotRemaining = -1;
    private Wait? _wait;

    /// <summary>Something that QEMU was asked for beside populating.</summary>
    private sealed record Wait(string For, long Since);

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
    public TimeSpan StalledFor => Volatile.Read(ref _wait) is { } wait ? time.GetElapsedTime(wait.Since) : _populator?.StalledFor ?? TimeSpan.Zero;

    /// <inheritdoc/>
    public string? WaitsFor => Volatile.Read(ref _wait)?.For;

    /// <inheritdoc/>
    public string? Yielding => _guest.Reason;

    /// <inheritdoc/>
    public DateTimeOffset? BootReadyAt => Volatile.Read(ref _bootReadyAt)?.Value;

    /// <inheritdoc/>
    public double? GuestLatencyMs => _guest.LatencyMs;

    /// <inheritdoc/>
    public long? HotRemaining => Interlocked.Read(ref _hotRemaining) is var remaining and >= 0 ? remaining : null;

    /// <inheritdoc/>
    public IReadOnlyList<(long Offset, long Length)>? Unflushed => _populator?.Unflushed.All;

    /// <inheritdoc/>
    /// <remarks>The bandwidth is the pace's, which outlives the run; the rest counts with the next look at the guest, within 100 ms.</remarks>
    public void Change(StreamSpec spec) => Volatile.Write(ref _spec, spec);

    /// <inheritdoc/>
    /// <exception cref="NbdCommandException">QEMU could not bring a range in: the source, or the space.</exception>
    /// <exception cref="NbdException">The connection to QEMU broke.</exception>
    public async Task RunAsync(Func<Task> finalizing, CancellationToken cancellationToken)
    {
        WaitFor("an export of the disk");
        await using var export = await hypervisor.ExportDiskAsync(disk.Domain, disk.Target, _spec.Offline, cancellationToken);
        await using var connection = await export.ConnectAsync(cancellationToken);
        var chain = (await DiskFinalizer.ChainAsync(hypervisor, disk, cancellationToken)).Select(image => ImageSource.Of(image.Source)).ToList();
        var populator = _populator = new Populator(connection, export.Warm, pace, time, SourceLimits.InFlight(chain), _meters);
        var hot = await findProfile(chain, cancellationToken) is { } profile ? new HotData(profile) : null;

        using var whilePopulating = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var beside = Task.WhenAll(FlushAtCheckpointsAsync(export.Warm, whilePopulating.Token), WatchHotDataAsync(hot, export.Warm, whilePopulating.Token));
        try
        {
            await PopulateHotAsync(hot, populator, export, cancellationToken);
            populator.SetWindow(AdaptiveController.Unknown.Window);
            beside = Task.WhenAll(beside,
                _guest.RunAsync(populator, () => Volatile.Read(ref _spec), clusterSize, options.InFlight, whilePopulating.Token));
            await PopulateAsync(populator, export, cancellationToken);
            await LookAtHotDataAsync(hot, export.Warm, cancellationToken);
        }
        finally
        {
            await whilePopulating.CancelAsync();
            await beside;
            if (cancellationToken.IsCancellationRequested)
                await FlushAtPartingAsync(export.Warm);
        }

        await finalizing();
        WaitFor("the last flush, and the end of the backing link");
        using var span = Spans.Begin("stream.finalize");
        await DiskFinalizer.FinishAsync(hypervisor, disk, _spec.Base, export, () =>
        {
            Interlocked.Exchange(ref _bytesDurable, BytesStreamed);
            populator.Unflushed.BeginFlush();
            populator.Unflushed.EndFlush();
        }, time, cancellationToken);
    }

    /// <summary>
    /// Hot data comes in at full width, whatever the guest's latency: that is high because the guest waits for this very data.
    /// Bandwidth and budgets hold all the same.
    /// </summary>
    private async Task PopulateHotAsync(HotData? hot, Populator populator, DiskExport export, CancellationToken cancellationToken)
    {
        if (hot is null || _spec.Order != StreamOrder.HotFirst)
            return;
        var depth = await DiskFinalizer.BaseDepthAsync(hypervisor, disk, _spec.Base, cancellationToken);
        var map = await ReadMapAsync(export, cancellationToken);
        await CheckSpaceAsync(map, depth, cancellationToken);
        Interlocked.CompareExchange(ref _remainingAtStart, map.RemainingBytes(depth), -1);
        Interlocked.CompareExchange(ref _remainingAtMap, map.RemainingBytes(depth), -1);
        populator.SetWindow(PopulateWindow.Wide(options.InFlight));
        WaitFor(null);
        await populator.PopulateHotAsync(hot.Remaining(map, depth), cancellationToken);
        await LookAtHotDataAsync(hot, export.Warm, cancellationToken);
    }

    /// <summary>Looks now and then whether the hot data is there, until it is: the guest brings it in too, and so does a sequential stream.</summary>
    private async Task WatchHotDataAsync(HotData? hot, NbdClient warm, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(BootLook, time);
        try
        {
            while (hot is not null && BootReadyAt is null && await timer.WaitForNextTickAsync(cancellationToken))
                await LookAtHotDataAsync(hot, warm, cancellationToken);
        }
        catch (Exception exception) when (exception is OperationCanceledException or NbdException
            or HostUnreachableException or HypervisorException or DomainNotFoundException or DomainNotRunningException or DiskNotFoundException)
        {
            // The stream itself finds out what is wrong, and says so.
        }
    }

    private async Task LookAtHotDataAsync(HotData? hot, NbdClient warm, CancellationToken cancellationToken)
    {
        if (hot is null || BootReadyAt is not null)
            return;
        var depth = await DiskFinalizer.BaseDepthAsync(hypervisor, disk, _spec.Base, cancellationToken);
        var remaining = await hot.RemainingBytesAsync(warm, depth, cancellationToken);
        Interlocked.Exchange(ref _hotRemaining, remaining);
        if (remaining == 0)
            Interlocked.CompareExchange(ref _bootReadyAt, new StrongBox<DateTimeOffset>(time.GetUtcNow()), null);
    }

    private async Task PopulateAsync(Populator populator, DiskExport export, CancellationToken cancellationToken)
    {
        for (long? before = null; ;)
        {
            var depth = await DiskFinalizer.BaseDepthAsync(hypervisor, disk, _spec.Base, cancellationToken);
            var map = await ReadMapAsync(export, cancellationToken);
            var remaining = map.Remaining(depth).ToList();
            var bytes = map.RemainingBytes(depth);
            Interlocked.CompareExchange(ref _remainingAtStart, bytes, -1);
            Interlocked.Exchange(ref _streamedAtMap, populator.BytesStreamed);
            Interlocked.Exchange(ref _remainingAtMap, bytes);
            if (before is null)
                await CheckSpaceAsync(map, depth, cancellationToken);
            WaitFor(null);
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

    private async Task<AllocationMap> ReadMapAsync(DiskExport export, CancellationToken cancellationToken)
    {
        WaitFor("the disk's allocation map");
        using var span = Spans.Begin("stream.map");
        return await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken);
    }

    /// <summary>Before anything is populated: a file system that runs full is a fault for every guest on it.</summary>
    private async Task CheckSpaceAsync(AllocationMap map, int depth, CancellationToken cancellationToken)
    {
        WaitFor("the free space of the overlay's file system");
        var remaining = map.RemainingBytes(depth);
        if (await hypervisor.FindSpaceAsync(disk.Domain, disk.Target, cancellationToken) is { } space && space.MissingBytes(map.PopulatedBytes, remaining) is > 0 and var missing)
            throw new InsufficientSpaceException(space, remaining, missing);
    }

    private void WaitFor(string? what) => Volatile.Write(ref _wait, what is null ? null : new Wait(what, time.GetTimestamp()));

    private async Task FlushAtCheckpointsAsync(NbdClient warm, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100), time);
        using var batches = new BatchSpans(() => BytesStreamed);
        var lastFlush = time.GetTimestamp();
        try
        {
            batches.Next();
            while (await timer.WaitForNextTickAsync(cancellationToken))
            {
                var unflushed = BytesStreamed - BytesDurable;
                var due = _guest.IsQuiet ? options.CheckpointBytes / QuietCheckpoints : options.CheckpointBytes;
                if (unflushed == 0)
                    lastFlush = time.GetTimestamp();
                else if (unflushed >= due || time.GetElapsedTime(lastFlush) >= options.CheckpointInterval)
                {
                    // What comes in while it flushes belongs to the next batch.
                    batches.Next();
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
        using var span = Spans.Begin("stream.flush");
        var begun = time.GetTimestamp();
        _populator?.Unflushed.BeginFlush();
        await warm.FlushAsync(cancellationToken);
        _meters.Flushed(time.GetElapsedTime(begun));
        Interlocked.Exchange(ref _bytesDurable, streamed);
        _populator?.Unflushed.EndFlush();
    }
}
