namespace StreamService.Streaming;

/// <summary>How many requests may be in flight, and how large each may be.</summary>
/// <param name="InFlight">Requests at once, 0 for none; QEMU's NBD server takes 16 of one connection.</param>
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
