using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using StreamService.Configuration;
using StreamService.Streaming.Budgets;

namespace StreamService.Api;

/// <summary>The body of PUT /budgets/{name}.</summary>
public sealed class BudgetRequest
{
    /// <summary>Which streams share it: all of the service, those of a host, of an image source, or of domains with a label.</summary>
    [Required(ErrorMessage = "is required: service, host, source or label.")]
    public BudgetScope? Scope { get; set; }

    /// <summary>The host's name, the image source (host of an image's URI, or folder of its file) or the label; none with the scope service.</summary>
    public string? Match { get; set; }

    /// <summary>Bytes per second outside all windows; 0 is unlimited.</summary>
    [Required(ErrorMessage = "is required: bytes per second; 0 is unlimited.")]
    public long? BytesPerSecond { get; set; }

    /// <summary>Times of day with another pace; of several that contain a moment the first counts.</summary>
    public List<BudgetWindowRequest>? Windows { get; set; }

    /// <exception cref="InvalidRequestException">Lists every fault.</exception>
    internal BudgetDefinition ToDefinition(string name)
    {
        var budget = new BudgetOptions
        {
            Name = name,
            Scope = Scope!.Value,
            Match = Match,
            BytesPerSecond = BytesPerSecond!.Value,
            Windows =
            [
                .. (Windows ?? []).Select(window => new BudgetWindowOptions
                {
                    From = window.From ?? "",
                    To = window.To ?? "",
                    TimeZone = window.TimeZone ?? "",
                    BytesPerSecond = window.BytesPerSecond ?? -1,
                }),
            ],
        };
        var faults = BudgetRules.Faults(budget)
            .GroupBy(fault => string.Join('.', fault.Member.Split(':').Select(JsonNamingPolicy.CamelCase.ConvertName)), fault => fault.Fault)
            .ToDictionary(group => group.Key, group => group.ToArray());
        return faults.Count == 0 ? budget.ToDefinition() : throw new InvalidRequestException(faults);
    }
}

/// <summary>A time of day in which a budget has another pace.</summary>
public sealed class BudgetWindowRequest
{
    /// <summary>Its first minute in the zone's local time, for example <c>22:00</c>.</summary>
    public string? From { get; set; }

    /// <summary>The minute it ends with, for example <c>06:00</c>; at or before <c>from</c> it is the next day's.</summary>
    public string? To { get; set; }

    /// <summary>An IANA name, for example <c>Europe/Berlin</c>.</summary>
    public string? TimeZone { get; set; }

    /// <summary>Bytes per second within; 0 is unlimited.</summary>
    public long? BytesPerSecond { get; set; }
}

/// <summary>A budget.</summary>
/// <param name="Match">The host, the image source or the label; null for the scope service.</param>
/// <param name="BytesPerSecond">Outside all windows; 0 is unlimited.</param>
/// <param name="Windows">Times of day with another pace.</param>
/// <param name="Origin">Where it was defined; only those of the API can be changed by it.</param>
/// <param name="PresentBytesPerSecond">The pace at this time of day; 0 is unlimited.</param>
/// <param name="Streams">How many streams share it now.</param>
public sealed record BudgetView(
    string Name,
    BudgetScope Scope,
    string? Match,
    long BytesPerSecond,
    IReadOnlyList<BudgetWindowView> Windows,
    BudgetOrigin Origin,
    long PresentBytesPerSecond,
    int Streams)
{
    public static BudgetView From(BudgetStatus status) => new(
        status.Definition.Name,
        status.Definition.Scope,
        status.Definition.Match,
        status.Definition.BytesPerSecond,
        [.. status.Definition.Windows.Select(BudgetWindowView.Of)],
        status.Origin,
        status.PresentBytesPerSecond,
        status.Streams);
}

/// <summary>A time of day in which a budget has another pace.</summary>
public sealed record BudgetWindowView(string From, string To, string TimeZone, long BytesPerSecond)
{
    public static BudgetWindowView Of(BudgetWindow window) => new(Write(window.From), Write(window.To), window.TimeZone, window.BytesPerSecond);

    private static string Write(TimeOnly time) => time.ToString("HH:mm", CultureInfo.InvariantCulture);
}
