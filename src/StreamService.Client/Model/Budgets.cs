namespace StreamService.Client;

/// <summary>Which streams share a budget.</summary>
public enum BudgetScope
{
    Unknown,

    /// <summary>All of the service.</summary>
    Service,

    /// <summary>Those of a host.</summary>
    Host,

    /// <summary>Those from an image source.</summary>
    Source,

    /// <summary>Those of domains with a label.</summary>
    Label,
}

/// <summary>Where a budget was defined.</summary>
public enum BudgetOrigin
{
    Unknown,

    /// <summary>Cannot be changed by calls.</summary>
    Configuration,

    Api,
}

/// <summary>A limit that streams share.</summary>
public sealed record Budget : ApiRecord
{
    public string Name { get; init; } = "";

    public BudgetScope Scope { get; init; }

    /// <summary>The host, source or label; null for the scope service.</summary>
    public string? Match { get; init; }

    /// <summary>Outside all windows; 0 is unlimited.</summary>
    public long BytesPerSecond { get; init; }

    /// <summary>Times of day with another pace.</summary>
    public IReadOnlyList<BudgetWindow> Windows { get; init; } = [];

    public BudgetOrigin Origin { get; init; }

    /// <summary>At this time of day; 0 is unlimited.</summary>
    public long PresentBytesPerSecond { get; init; }

    /// <summary>How many streams share it now.</summary>
    public int Streams { get; init; }
}

/// <summary>A time of day in which a budget has another pace.</summary>
/// <param name="From">For example <c>22:00</c>.</param>
/// <param name="To">For example <c>06:00</c>, the next day's.</param>
/// <param name="TimeZone">An IANA name.</param>
/// <param name="BytesPerSecond">0 is unlimited.</param>
public sealed record BudgetWindow(string From, string To, string TimeZone, long BytesPerSecond);

/// <summary>A budget to be set.</summary>
/// <param name="Scope">Which streams share it.</param>
/// <param name="BytesPerSecond">0 is unlimited.</param>
/// <param name="Match">The host, source or label; null for the scope service.</param>
/// <param name="Windows">Times of day with another pace.</param>
public sealed record BudgetDefinition(BudgetScope Scope, long BytesPerSecond, string? Match = null, IReadOnlyList<BudgetWindow>? Windows = null);
