namespace StreamService.Configuration;

/// <summary>How much one caller may ask: <c>StreamService:RateLimit</c>.</summary>
public sealed class RateLimitOptions
{
    /// <summary>Requests a second in the long run, for each caller, or each address where nobody has signed in; 0 is unlimited.</summary>
    public int RequestsPerSecond { get; set; } = 2000;

    /// <summary>Requests at once.</summary>
    public int Burst { get; set; } = 4000;

    /// <summary>The largest body of a request, in bytes.</summary>
    public long LargestBody { get; set; } = 4 << 20;

    internal IEnumerable<string> Faults()
    {
        const string section = "StreamService:RateLimit";
        if (RequestsPerSecond is < 0 or > 1_000_000)
            yield return $"{section}:{nameof(RequestsPerSecond)} is {RequestsPerSecond}, not 0 (unlimited) to 1000000.";
        if (Burst is < 1 or > 1_000_000)
            yield return $"{section}:{nameof(Burst)} is {Burst}, not 1 to 1000000.";
        if (LargestBody is < 1024 or > 64 << 20)
            yield return $"{section}:{nameof(LargestBody)} is {LargestBody}, not 1024 to {64 << 20}.";
    }
}
