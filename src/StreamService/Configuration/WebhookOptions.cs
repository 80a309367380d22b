using StreamService.Webhooks;

namespace StreamService.Configuration;

/// <summary>A receiver of events: <c>StreamService:Webhooks:N</c>. Events go nowhere else.</summary>
public sealed class WebhookOptions
{
    /// <summary>Names it in the log, in metrics, and on record: under the same name it goes on where it was.</summary>
    public string Name { get; set; } = "";

    /// <summary>Where events are posted to, by http or https. Redirects are not followed.</summary>
    public string Url { get; set; } = "";

    /// <summary>What both sides sign with, as Standard Webhooks has it: <c>whsec_</c> and 24 to 64 bytes in Base64.</summary>
    public string Secret { get; set; } = "";

    /// <summary>The types that it wants; see <see cref="WebhookEvents.Types"/>. Default: all.</summary>
    public List<string> Types { get; init; } = [];

    /// <summary>How long it may take to answer.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The first pause before an event is sent again; it doubles up to <see cref="RetryDelayLimit"/>.</summary>
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest pause.</summary>
    public TimeSpan RetryDelayLimit { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>An event that is older is not sent again; the next one's turn comes.</summary>
    public TimeSpan GiveUpAfter { get; set; } = TimeSpan.FromDays(3);

    /// <summary>The pause after so many failures in a row, the first being 1.</summary>
    internal TimeSpan RetryDelayAfter(int failures) =>
        TimeSpan.FromSeconds(Math.Min(RetryDelay.TotalSeconds * Math.Pow(2, Math.Min(failures - 1, 30)), RetryDelayLimit.TotalSeconds));

    internal IEnumerable<(string Member, string Fault)> Faults()
    {
        if (Name.Length is 0 or > 64 || Name.Any(char.IsControl))
            yield return (nameof(Name), "must be 1 to 64 characters.");
        if (!Uri.TryCreate(Url, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https"))
            yield return (nameof(Url), "is not an http or https URL.");
        else if (url.UserInfo.Length > 0)
            yield return (nameof(Url), "has a user or password, which nobody would send: receivers know the service by its signature.");
        // The fault does not tell the secret: it goes to the console.
        if (!IsSecret())
            yield return (nameof(Secret), $"must be {WebhookSender.SecretPrefix} and 24 to 64 bytes in Base64, such as {WebhookSender.SecretPrefix}$(openssl rand -base64 32) gives.");
        for (var i = 0; i < Types.Count; i++)
            if (!WebhookEvents.Types.Contains(Types[i]))
                yield return ($"{nameof(Types)}:{i}", $"'{Types[i]}' is none of {string.Join(", ", WebhookEvents.Types)}.");
        foreach (var (member, value, most) in new[]
        {
            (nameof(Timeout), Timeout, TimeSpan.FromMinutes(5)),
            (nameof(RetryDelay), RetryDelay, TimeSpan.FromDays(1)),
            (nameof(RetryDelayLimit), RetryDelayLimit, TimeSpan.FromDays(1)),
            (nameof(GiveUpAfter), GiveUpAfter, TimeSpan.FromDays(365)),
        })
            if (value <= TimeSpan.Zero || value > most)
                yield return (member, $"is {value}, not a time between 0 and {most}.");
    }

    private bool IsSecret()
    {
        if (!Secret.StartsWith(WebhookSender.SecretPrefix, StringComparison.Ordinal))
            return false;
        Span<byte> key = stackalloc byte[128];
        return Convert.TryFromBase64String(Secret[WebhookSender.SecretPrefix.Length..], key, out var length) && length is >= 24 and <= 64;
    }
}
