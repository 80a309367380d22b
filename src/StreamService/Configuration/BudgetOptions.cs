using StreamService.Streaming.Budgets;

namespace StreamService.Configuration;

/// <summary>A budget of the configuration: <c>StreamService:Budgets:N</c>.</summary>
public sealed class BudgetOptions
{
    /// <summary>What callers call it.</summary>
    public string Name { get; set; } = "";

    /// <summary>Which streams share it.</summary>
    public BudgetScope Scope { get; set; }

    /// <summary>The host's name, the image source or the label; none for the whole service.</summary>
    public string? Match { get; set; }

    /// <summary>Bytes per second outside all windows; 0 is unlimited.</summary>
    public long BytesPerSecond { get; set; }

    /// <summary>Times of day with another pace.</summary>
    public List<BudgetWindowOptions> Windows { get; init; } = [];

    internal BudgetDefinition ToDefinition() => new(Name, Scope, Match, BytesPerSecond,
        [.. Windows.Select(window => new BudgetWindow(BudgetRules.Time(window.From)!.Value, BudgetRules.Time(window.To)!.Value, window.TimeZone, window.BytesPerSecond))]);
}

/// <summary>A time of day in which a budget has another pace.</summary>
public sealed class BudgetWindowOptions
{
    /// <summary>Its first minute, for example <c>22:00</c>.</summary>
    public string From { get; set; } = "";

    /// <summary>The minute it ends with, for example <c>06:00</c>.</summary>
    public string To { get; set; } = "";

    /// <summary>An IANA name, for example <c>Europe/Berlin</c>.</summary>
    public string TimeZone { get; set; } = "";

    /// <summary>Bytes per second within; 0 is unlimited.</summary>
    public long BytesPerSecond { get; set; }
}

/// <summary>What makes a budget valid, in the configuration and in the API alike.</summary>
internal static class BudgetRules
{
    /// <summary>1 PiB per second: beyond any storage, so a mistake.</summary>
    private const long LargestBandwidth = 1L << 50;

    private const int LongestName = 64;

    /// <summary>A time of day as <c>HH:mm</c>; null for anything else.</summary>
    public static TimeOnly? Time(string? text) =>
        TimeOnly.TryParseExact(text, "HH:mm", System.Globalization.CultureInfo.InvariantCulture, System.Globalization.DateTimeStyles.None, out var time) ? time : null;

    /// <summary>Every fault, with the member that has it, in the words of the member's own spelling.</summary>
    public static IEnumerable<(string Member, string Fault)> Faults(BudgetOptions budget)
    {
        if (!IsName(budget.Name))
            yield return (nameof(budget.Name), $"must be 1 to {LongestName} letters, digits, '-', '_' or '.'.");
        if (budget.Scope == BudgetScope.Service && budget.Match is not null)
            yield return (nameof(budget.Match), "does not go with the scope service.");
        if (budget.Scope != BudgetScope.Service && string.IsNullOrWhiteSpace(budget.Match))
            yield return (nameof(budget.Match), "is required: the host, the image source or the label that is meant.");
        if (!IsBandwidth(budget.BytesPerSecond))
            yield return (nameof(budget.BytesPerSecond), $"must be 0 (unlimited) to {LargestBandwidth}.");
        for (var i = 0; i < budget.Windows.Count; i++)
        {
            var window = budget.Windows[i];
            var prefix = $"{nameof(budget.Windows)}:{i}:";
            if (Time(window.From) is null)
                yield return (prefix + nameof(window.From), $"must be a time of day like 22:00; was '{window.From}'.");
            if (Time(window.To) is null)
                yield return (prefix + nameof(window.To), $"must be a time of day like 06:00; was '{window.To}'.");
            if (!TimeZoneInfo.TryFindSystemTimeZoneById(window.TimeZone, out _))
                yield return (prefix + nameof(window.TimeZone), $"must be a time zone like Europe/Berlin or UTC; was '{window.TimeZone}'.");
            if (!IsBandwidth(window.BytesPerSecond))
                yield return (prefix + nameof(window.BytesPerSecond), $"must be 0 (unlimited) to {LargestBandwidth}.");
        }
    }

    private static bool IsBandwidth(long bytesPerSecond) => bytesPerSecond is >= 0 and <= LargestBandwidth;

    private static bool IsName(string name) =>
        name.Length is > 0 and <= LongestName && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');
}
