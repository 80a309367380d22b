namespace StreamService.Configuration;

/// <summary>How long the events of streams and migrations are kept: <c>StreamService:Events</c>.</summary>
public sealed class EventOptions
{
    /// <summary>Events that are older are forgotten.</summary>
    public TimeSpan KeepFor { get; set; } = TimeSpan.FromDays(30);

    /// <summary>Where there are more, the oldest are forgotten.</summary>
    public int KeepAtMost { get; set; } = 100_000;

    internal IEnumerable<string> Faults()
    {
        const string section = "StreamService:Events";
        if (KeepFor < TimeSpan.FromMinutes(1) || KeepFor > TimeSpan.FromDays(3650))
            yield return $"{section}:{nameof(KeepFor)} is {KeepFor}, not a time from 1 minute to 10 years.";
        if (KeepAtMost is < 100 or > 100_000_000)
            yield return $"{section}:{nameof(KeepAtMost)} is {KeepAtMost}, not 100 to 100000000.";
    }
}
