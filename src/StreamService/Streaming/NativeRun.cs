using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;

namespace StreamService.Streaming;

/// <summary>
/// The native engine: the hypervisor's own stream job does all of the work. Where the disk can be exported its allocation
/// map tells the progress and flushes make it durable on the way; where it cannot, the job's own count has to do.
/// </summary>
/// <remarks>
/// The job is held before it drops the backing link where the hypervisor can hold it (QMP), and flushed then. Under libvirt
/// the link is gone before the last flush: the disk is at risk until the stream is completed, which is after that flush.
/// A pause ends the job and a resume begins another: the work is in the overlay, and a job at rest would keep snapshots
/// and backups off the disk, and would not outlive QEMU.
/// </remarks>
internal sealed class NativeRun(IHypervisor hypervisor, DiskAddress disk, StreamSpec spec, StreamingOptions options, TimeProvider time) : IStreamRun
{
    /// <summary>A job of QEMU moves that much at once, and then rests until its pace allows it the next.</summary>
    private const long JobStep = 1 << 20;

    private static readonly TimeSpan MapInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PartingFlush = TimeSpan.FromSeconds(5);

    private long _bandwidth = spec.Bandwidth;
    private long _bandwidthSet = spec.Bandwidth;
    private long _remainingAtStart = -1;
    private long _remaining = -1;
    private long _bytesDurable;
    private long _offset = -1;
    private long _movedAt = time.GetTimestamp();

    /// <inheritdoc/>
    public long BytesStreamed => RemainingAtStart is { } start && BytesRemaining is { } now ? Math.Max(0, start - now) : 0;

    /// <inheritdoc/>
    public long BytesDurable => Interlocked.Read(ref _bytesDurable);

    /// <inheritdoc/>
    public long? BytesRemaining => Known(ref _remaining);

    /// <inheritdoc/>
    public long? RemainingAtStart => Known(ref _remainingAtStart);

    /// <inheritdoc/>
    public string? WaitsFor => null;

    /// <inheritdoc/>
    public TimeSpan StalledFor
    {
        get
        {
            if (Interlocked.Read(ref _offset) < 0)
                return TimeSpan.Zero;
            var pace = Interlocked.Read(ref _bandwidth);
            var rest = pace > 0 ? TimeSpan.FromSeconds((double)JobStep / pace) : TimeSpan.Zero;
            var still = time.GetElapsedTime(Interlocked.Read(ref _movedAt)) - rest;
            return still > TimeSpan.Zero ? still : TimeSpan.Zero;
        }
    }

    /// <inheritdoc/>
    /// <remarks>QEMU's own job knows nothing of the guest.</remarks>
    public string? Yielding => null;

    /// <inheritdoc/>
    /// <remarks>Its order is QEMU's, and so is the time.</remarks>
    public DateTimeOffset? BootReadyAt => null;

    /// <inheritdoc/>
    public double? GuestLatencyMs => null;

    /// <inheritdoc/>
    public long? HotRemaining => null;

    /// <inheritdoc/>
    /// <remarks>QEMU does not tell where its job is at work.</remarks>
    public IReadOnlyList<(long Offset, long Length)>? Unflushed => null;

    /// <inheritdoc/>
    public void Change(StreamSpec spec) => Interlocked.Exchange(ref _bandwidth, spec.Bandwidth);

    /// <inheritdoc/>
    /// <exception cref="HypervisorException">The job failed; its own words are in it.</exception>
    public async Task RunAsync(Func<Task> finalizing, CancellationToken cancellationToken)
    {
        await using var export = await TryExportAsync(cancellationToken);
        var depth = await DiskFinalizer.BaseDepthAsync(hypervisor, disk, spec.Base, cancellationToken);
        await LookAtMapAsync(export, depth, cancellationToken);
        if (BytesRemaining is > 0 and var remaining && await hypervisor.FindSpaceAsync(disk.Domain, disk.Target, cancellationToken) is { } space
            && (space with { AllocatedBytes = null }).MissingBytes(populated: 0, remaining) is > 0 and var missing)
            throw new InsufficientSpaceException(space, remaining, missing);
        if (!await DiskFinalizer.HasArrivedAsync(hypervisor, disk, spec.Base, cancellationToken))
            await StreamAsync(export, depth, finalizing, cancellationToken);
        await finalizing();
        await FlushAsync(export, cancellationToken);
        await DiskFinalizer.CheckArrivedAsync(hypervisor, disk, spec.Base, cancellationToken);
    }

    private async Task StreamAsync(DiskExport? export, int depth, Func<Task> finalizing, CancellationToken cancellationToken)
    {
        using var whileStreaming = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var beside = export is null ? Task.CompletedTask : WatchAsync(export, depth, whileStreaming.Token);
        try
        {
            var job = await hypervisor.BeginNativeJobAsync(disk.Domain, disk.Target, spec.Base, _bandwidthSet = Interlocked.Read(ref _bandwidth), cancellationToken);
            await NativeStreaming.RunToEndAsync(job, async token =>
            {
                await finalizing();
                await FlushAsync(export, token);
            }, status => Observe(status, countsBytes: export is null), time, cancellationToken);
        }
        finally
        {
            Interlocked.Exchange(ref _offset, -1);
            await whileStreaming.CancelAsync();
            await beside;
            if (cancellationToken.IsCancellationRequested && export is not null)
                await FlushAtPartingAsync(export, depth);
        }
        Interlocked.Exchange(ref _remaining, 0);
    }

    /// <summary>Takes a look at the job; returns the pace to set where it was changed.</summary>
    private long? Observe(NativeJobStatus status, bool countsBytes)
    {
        if (Interlocked.Exchange(ref _offset, status.Offset) != status.Offset)
            Interlocked.Exchange(ref _movedAt, time.GetTimestamp());
        if (countsBytes && status.Length > 0)
        {
            // Holes and what was populated before count like all else: the job does not tell them apart.
            Interlocked.CompareExchange(ref _remainingAtStart, status.Length, -1);
            Interlocked.Exchange(ref _remaining, Math.Max(0, status.Length - status.Offset));
        }
        var bandwidth = Interlocked.Read(ref _bandwidth);
        if (bandwidth == _bandwidthSet || status.Phase != NativeJobPhase.Running)
            return null;
        return _bandwidthSet = bandwidth;
    }

    private async Task<DiskExport?> TryExportAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await hypervisor.ExportDiskAsync(disk.Domain, disk.Target, spec.Offline, cancellationToken);
        }
        catch (ExportUnavailableException)
        {
            return null;
        }
    }

    /// <summary>Reads the map and flushes now and then, as long as the job runs.</summary>
    private async Task WatchAsync(DiskExport export, int depth, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(MapInterval, time);
        var lastFlush = time.GetTimestamp();
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken))
            {
                await LookAtMapAsync(export, depth, cancellationToken);
                if (BytesStreamed - BytesDurable >= options.CheckpointBytes || time.GetElapsedTime(lastFlush) >= options.CheckpointInterval)
                {
                    await FlushAsync(export, cancellationToken);
                    lastFlush = time.GetTimestamp();
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or NbdException)
        {
            // The job itself finds out what is wrong, and says so.
        }
    }

    private async Task LookAtMapAsync(DiskExport? export, int depth, CancellationToken cancellationToken)
    {
        if (export is null)
            return;
        var remaining = (await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken)).RemainingBytes(depth);
        Interlocked.CompareExchange(ref _remainingAtStart, remaining, -1);
        Interlocked.Exchange(ref _remaining, remaining);
    }

    private async Task FlushAtPartingAsync(DiskExport export, int depth)
    {
        using var deadline = new CancellationTokenSource(PartingFlush, time);
        try
        {
            await LookAtMapAsync(export, depth, deadline.Token);
            await FlushAsync(export, deadline.Token);
        }
        catch (Exception exception) when (exception is OperationCanceledException or NbdException)
        {
            // Then bytesDurable stays what it was, which is true.
        }
    }

    private async Task FlushAsync(DiskExport? export, CancellationToken cancellationToken)
    {
        var streamed = BytesStreamed;
        if (export is null)
            await hypervisor.FlushWithoutExportAsync(disk.Domain, disk.Target, cancellationToken);
        else
            await export.Warm.FlushAsync(cancellationToken);
        Interlocked.Exchange(ref _bytesDurable, streamed);
    }

    private static long? Known(ref long value) => Interlocked.Read(ref value) is var known and >= 0 ? known : null;
}
