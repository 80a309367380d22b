using System.Text.Json.Serialization;

namespace StreamService.Streaming.Budgets;

/// <summary>Which streams share a budget.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<BudgetScope>))]
public enum BudgetScope
{
    /// <summary>All streams of the service.</summary>
    Service,

    /// <summary>The streams of one host, by its configured name.</summary>
    Host,

    /// <summary>The streams that read from one image source: the host of an image's URI, or the folder of its file.</summary>
    Source,

    /// <summary>The streams of domains that carry a label.</summary>
    Label,
}

/// <summary>A time of day in which a budget has another pace.</summary>
/// <param name="From">Its first minute, in the zone's local time.</param>
/// <param name="To">The minute it ends with; at or before <paramref name="From"/> it is the next day's.</param>
/// <param name="TimeZone">An IANA name, for example <c>Europe/Berlin</c>.</param>
/// <param name="BytesPerSecond">The pace within; 0 is unlimited.</param>
public sealed record BudgetWindow(TimeOnly From, TimeOnly To, string TimeZone, long BytesPerSecond)
{
    /// <summary>Whether a moment lies within.</summary>
    public bool Contains(DateTimeOffset moment)
    {
        var local = TimeOnly.FromDateTime(TimeZoneInfo.ConvertTime(moment, TimeZoneInfo.FindSystemTimeZoneById(TimeZone)).DateTime);
        // From = To is the whole day: nobody means a window of no length.
        return From < To ? local >= From && local < To : local >= From || local < To;
    }
}

/// <summary>A named limit that streams share by their priorities.</summary>
/// <param name="Match">The host's name, the source or the label; null for the whole service.</param>
/// <param name="BytesPerSecond">The pace outside all windows; 0 is unlimited.</param>
/// <param name="Windows">Of several that contain a moment the first counts.</param>
public sealed record BudgetDefinition(string Name, BudgetScope Scope, string? Match, long BytesPerSecond, IReadOnlyList<BudgetWindow> Windows)
{
    /// <summary>The pace at a moment, in bytes per second; 0 is unlimited.</summary>
    public long PaceAt(DateTimeOffset moment) =>
        Windows.FirstOrDefault(window => window.Contains(moment)) is { } window ? window.BytesPerSecond : BytesPerSecond;

    /// <summary>Whether a stream of that scope shares it.</summary>
    public bool Covers(StreamScope stream) => Scope switch
    {
        BudgetScope.Service => true,
        BudgetScope.Host => stream.Host == Match,
        BudgetScope.Source => stream.Sources.Contains(Match!),
        BudgetScope.Label => stream.Labels.Contains(Match!),
        _ => throw new InvalidOperationException($"A budget without a rule: {Scope}."),
    };
}

/// <summary>What of a stream decides which limits it is under.</summary>
/// <param name="Host">The configured name of its host.</param>
/// <param name="Sources">Where the images that it reads are kept; see <see cref="ImageSource"/>.</param>
/// <param name="Labels">The labels of its domain.</param>
public sealed record StreamScope(string Host, IReadOnlyCollection<string> Sources, IReadOnlyCollection<string> Labels);

/// <summary>Where an image is kept: what many images share, and what breaks down when all are read at once.</summary>
public static class ImageSource
{
    /// <summary>The host of a URI (<c>nbd://images.example:10809/debian</c>: <c>images.example</c>); for a local
    /// socket its path; for a file its folder.</summary>
    public static string Of(string image)
    {
        if (image.StartsWith('/'))
            return Path.GetDirectoryName(image) is { Length: > 0 } folder ? folder : "/";
        if (!Uri.TryCreate(image, UriKind.Absolute, out var uri))
            return image;
        if (uri.Host.Length > 0)
            return uri.Host;
        const string socket = "socket=";
        var query = uri.Query.TrimStart('?').Split('&').FirstOrDefault(part => part.StartsWith(socket, StringComparison.Ordinal));
        return query is null ? image : Uri.UnescapeDataString(query[socket.Length..]);
    }
}
