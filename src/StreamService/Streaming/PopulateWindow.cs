namespace StreamService.Streaming;

/// <summary>How many requests may be in flight, and how large each may be.</summary>
/// <param name="InFlight">Requests at once, 0 for none; QEMU's NBD server takes 16 of one connection.</param>
/// <param name="RequestBytes">The largest request, in bytes.</param>
/// <param name="Bytes">How much may be in flight in all, in bytes; one request may be, whatever its size.</param>
public readonly record struct PopulateWindow(int InFlight, int RequestBytes, long Bytes)
{
    /// <summary>The largest request beside a guest at work: a larger one brings little, and makes the guest wait longer.</summary>
    public const int LargestKindRequest = 1 << 20;

    public PopulateWindow(int inFlight, int requestBytes) : this(inFlight, requestBytes, (long)inFlight * requestBytes)
    {
    }

    /// <summary>
    /// As wide as a slow source needs: while the guest is quiet. Many requests where they are small, between holes; few and
    /// large ones otherwise, for each costs the service the same.
    /// </summary>
    public static PopulateWindow Wide(int inFlight) => new(inFlight, SectorThrottle.LargestRequest, (long)inFlight << 20);

    /// <summary>
    /// Still faster than QEMU's own job, at an eighth of the guest latency of the wide window
    /// (measured: README, "What the guest feels").
    /// </summary>
    public static readonly PopulateWindow Narrow = new(2, LargestKindRequest);
}
