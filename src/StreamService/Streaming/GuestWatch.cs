using StreamService.Hypervisors;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>Beside a run: looks at the guest device's counters every tick and has the populator keep to what they allow.</summary>
internal sealed class GuestWatch(IHypervisor hypervisor, DiskAddress disk, StreamPace pace, TimeProvider time)
{
    /// <summary>Between the first two looks: a guest at work shows in that time, and a quiet one's stream does not lose more.</summary>
    private static readonly TimeSpan FirstTick = TimeSpan.FromMilliseconds(20);

    private readonly StreamMeters _meters = new(disk.Host);
    private GuestIo? _seen;
    private string? _reason;
    private bool _isQuiet;
    private double _latencyMs = double.NaN;

    /// <summary>Why the stream is slower than it could be, in words; null at full speed. From any thread.</summary>
    public string? Reason => Volatile.Read(ref _reason);

    /// <summary>Whether the guest was seen to leave the disk alone. From any thread.</summary>
    public bool IsQuiet => Volatile.Read(ref _isQuiet);

    /// <summary>What the guest's reads and writes took lately, in milliseconds; null where nobody looks, or there were none. From any thread.</summary>
    public double? LatencyMs => Volatile.Read(ref _latencyMs) is var latency && double.IsNaN(latency) ? null : latency;

    /// <summary>Watches until it is cancelled. Leaves the pace as the caller's alone.</summary>
    /// <param name="spec">The present wishes, asked for at each tick.</param>
    public async Task RunAsync(Populator populator, Func<StreamSpec> spec, int clusterSize, int inFlight, CancellationToken cancellationToken)
    {
        AdaptiveController? controller = null;
        using var timer = new PeriodicTimer(FirstTick, time);
        try
        {
            do
            {
                var wishes = spec();
                var limits = new AdaptiveLimits(wishes.TargetLatencyMs, wishes.MinBandwidth, wishes.Bandwidth, clusterSize, inFlight);
                if (wishes.Policy == StreamPolicy.Fixed)
                {
                    controller = null;
                    Volatile.Write(ref _latencyMs, double.NaN);
                    Apply(populator, new AdaptivePace(PopulateWindow.Wide(inFlight), 0, null), isQuiet: false);
                    continue;
                }
                timer.Period = controller is null ? FirstTick : AdaptiveController.Tick;
                controller ??= new AdaptiveController(limits, time);
                controller.Limits = limits;
                var next = await LookAsync(controller, populator, cancellationToken);
                Volatile.Write(ref _latencyMs, controller.GuestLatencyMs ?? double.NaN);
                Apply(populator, next, isQuiet: next.Reason is null);
            }
            while (await timer.WaitForNextTickAsync(cancellationToken));
        }
        catch (OperationCanceledException)
        {
        }
        finally
        {
            pace.YieldedTo = 0;
            Volatile.Write(ref _reason, null);
            Volatile.Write(ref _latencyMs, double.NaN);
        }
    }

    private async Task<AdaptivePace> LookAsync(AdaptiveController controller, Populator populator, CancellationToken cancellationToken)
    {
        try
        {
            var io = await hypervisor.GetGuestIoAsync(disk.Domain, disk.Target, cancellationToken);
            var next = controller.Observe(io, new StreamWork(populator.BytesStreamed, populator.RequestTime));
            Measure(io, controller);
            return next;
        }
        catch (Exception exception) when (exception is HostUnreachableException or HypervisorException
            or DomainNotFoundException or DomainNotRunningException or DiskNotFoundException)
        {
            return controller.Blind();
        }
    }

    private void Measure(GuestIo io, AdaptiveController controller)
    {
        // Counters that fell belong to another QEMU.
        if (_seen is { } seen && io.Reads.Count >= seen.Reads.Count && io.Writes.Count >= seen.Writes.Count
            && io.Reads.Count - seen.Reads.Count + io.Writes.Count - seen.Writes.Count is > 0 and var operations)
            _meters.GuestFelt((io.Reads.Time - seen.Reads.Time + io.Writes.Time - seen.Writes.Time) / operations, controller.IsOverTarget);
        _seen = io;
    }

    private void Apply(Populator populator, AdaptivePace next, bool isQuiet)
    {
        pace.YieldedTo = next.BytesPerSecond;
        populator.SetWindow(next.Window);
        Volatile.Write(ref _reason, next.Reason);
        Volatile.Write(ref _isQuiet, isQuiet);
    }
}
