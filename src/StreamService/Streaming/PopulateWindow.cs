using StreamService.Hypervisors;

namespace StreamService.Streaming;

/// <summary>How many requests may be in flight, and how large each may be.</summary>
/// <param name="InFlight">Requests at once; QEMU's NBD server takes 16 of one connection.</param>
/// <param name="RequestBytes">The largest request, in bytes.</param>
public readonly record struct PopulateWindow(int InFlight, int RequestBytes)
{
    /// <summary>As wide as a slow source needs: while the guest is quiet.</summary>
    public static PopulateWindow Wide(int inFlight) => new(inFlight, SectorThrottle.LargestRequest);

    /// <summary>
    /// Still faster than QEMU's own job, at an eighth of the guest latency of the wide window
    /// (measured: README, "What the guest feels").
    /// </summary>
    public static readonly PopulateWindow Narrow = new(2, SectorThrottle.LargestRequest);
}

/// <summary>Tells from the guest device's own counters whether the guest is at work, and sets the window by it.</summary>
/// <param name="inFlight">The wide window's requests in flight.</param>
public sealed class GuestWatch(int inFlight, TimeProvider time)
{
    /// <summary>How often the counters are to be read.</summary>
    public static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    /// <summary>How long after its last operation the guest counts as quiet.</summary>
    public static readonly TimeSpan QuietAfter = TimeSpan.FromMilliseconds(500);

    private GuestIo? _seen;
    private DateTimeOffset _activeAt = DateTimeOffset.MinValue;

    /// <summary>Takes the counters' present value.</summary>
    public void Observe(GuestIo io)
    {
        if (_seen is { } seen && io.Operations != seen.Operations)
            _activeAt = time.GetUtcNow();
        _seen = io;
    }

    /// <summary>The window that is right at this moment.</summary>
    public PopulateWindow WindowFor(StreamPolicy policy) =>
        policy == StreamPolicy.Adaptive && time.GetUtcNow() - _activeAt < QuietAfter
            ? PopulateWindow.Narrow with { InFlight = Math.Min(inFlight, PopulateWindow.Narrow.InFlight) }
            : PopulateWindow.Wide(inFlight);
}
