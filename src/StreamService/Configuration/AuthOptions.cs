using StreamService.Security;

namespace StreamService.Configuration;

/// <summary>Who may call: <c>StreamService:Auth</c>. With nothing configured everybody may, and the service listens on the loopback only.</summary>
public sealed class AuthOptions
{
    /// <summary>Keys for programs, and for people at the dashboard.</summary>
    public List<ApiKeyOptions> ApiKeys { get; init; } = [];

    /// <summary>Tokens of an OpenID Connect provider.</summary>
    public JwtOptions Jwt { get; init; } = new();

    /// <summary>How long a sign-in at the dashboard lasts without use.</summary>
    public TimeSpan SessionLifetime { get; set; } = TimeSpan.FromHours(12);

    /// <summary>Origins whose pages may call the API from a browser, as <c>https://host</c>. Default: none but the service's own.</summary>
    public List<string> AllowedOrigins { get; init; } = [];

    internal bool IsConfigured => ApiKeys.Count > 0 || Jwt.IsConfigured;

    internal IEnumerable<string> Faults()
    {
        const string section = "StreamService:Auth";
        for (var i = 0; i < ApiKeys.Count; i++)
        {
            foreach (var (member, fault) in ApiKeys[i].Faults())
                yield return $"{section}:ApiKeys:{i}:{member} {fault}";
            if (ApiKeys.Take(i).Any(other => other.Name == ApiKeys[i].Name))
                yield return $"{section}:ApiKeys:{i}:Name '{ApiKeys[i].Name}' is used twice.";
            if (ApiKeys.Take(i).Any(other => other.Hash.Equals(ApiKeys[i].Hash, StringComparison.OrdinalIgnoreCase)))
                yield return $"{section}:ApiKeys:{i}:Hash is that of another key.";
        }
        foreach (var (member, fault) in Jwt.Faults())
            yield return $"{section}:Jwt:{member} {fault}";
        if (SessionLifetime < TimeSpan.FromMinutes(1) || SessionLifetime > TimeSpan.FromDays(30))
            yield return $"{section}:SessionLifetime is {SessionLifetime}, not a time from 1 minute to 30 days.";
        for (var i = 0; i < AllowedOrigins.Count; i++)
            if (!Uri.TryCreate(AllowedOrigins[i], UriKind.Absolute, out var origin) || origin.Scheme is not ("http" or "https") || origin.GetLeftPart(UriPartial.Authority) != AllowedOrigins[i])
                yield return $"{section}:AllowedOrigins:{i} '{AllowedOrigins[i]}' is not an origin like https://host or https://host:8443.";
    }
}

/// <summary>One API key.</summary>
public sealed class ApiKeyOptions
{
    /// <summary>Who has it; in the audit log.</summary>
    public string Name { get; set; } = "";

    /// <summary>SHA-256 of the key, <c>sha256:</c> and 64 hexadecimal digits. <c>deploy/new-api-key</c> makes both.</summary>
    public string Hash { get; set; } = "";

    /// <summary>What it may do; see <see cref="Security.Scopes"/>.</summary>
    public List<string> Scopes { get; init; } = [];

    /// <summary>The hosts it is limited to. Default: all.</summary>
    public List<string> Hosts { get; init; } = [];

    /// <summary>It is limited to domains that have one of these labels. Default: all.</summary>
    public List<string> Labels { get; init; } = [];

    internal IEnumerable<(string Member, string Fault)> Faults()
    {
        if (Name.Length is 0 or > 64 || Name.Any(char.IsControl))
            yield return (nameof(Name), "must be 1 to 64 characters.");
        if (ApiKeys.HashOf(Hash) is null)
            yield return (nameof(Hash), "must be sha256: and 64 hexadecimal digits, as deploy/new-api-key prints it.");
        if (Scopes.Count == 0)
            yield return (nameof(Scopes), $"is missing: one or more of {string.Join(", ", Security.Scopes.All)}.");
        if (Scopes.Contains(Security.Scopes.Admin) && (Hosts.Count > 0 || Labels.Count > 0))
            yield return (nameof(Scopes), $"has {Security.Scopes.Admin}, which changes what all share, and the key is limited to hosts or labels.");
        for (var i = 0; i < Scopes.Count; i++)
            if (!Security.Scopes.All.Contains(Scopes[i]))
                yield return ($"{nameof(Scopes)}:{i}", $"'{Scopes[i]}' is none of {string.Join(", ", Security.Scopes.All)}.");
    }
}

/// <summary>An OpenID Connect provider whose access tokens are taken.</summary>
public sealed class JwtOptions
{
    /// <summary>The provider's URL, below which <c>.well-known/openid-configuration</c> is. Default: no tokens are taken.</summary>
    public string Authority { get; set; } = "";

    /// <summary>What a token must be meant for.</summary>
    public string Audience { get; set; } = "";

    /// <summary>The claim with the scopes: a list, or one text with spaces between.</summary>
    public string ScopeClaim { get; set; } = "scope";

    /// <summary>The claim with the caller's name, for the audit log.</summary>
    public string NameClaim { get; set; } = "sub";

    /// <summary>Whether the provider must be called by https. To be turned off for a provider on this machine only.</summary>
    public bool RequireHttps { get; set; } = true;

    internal bool IsConfigured => Authority.Length > 0;

    internal IEnumerable<(string Member, string Fault)> Faults()
    {
        if (!IsConfigured)
            yield break;
        if (!Uri.TryCreate(Authority, UriKind.Absolute, out var authority) || authority.Scheme is not ("http" or "https"))
            yield return (nameof(Authority), $"'{Authority}' is not an https URL.");
        else if (authority.Scheme == "http" && RequireHttps)
            yield return (nameof(Authority), $"'{Authority}' is not an https URL, and RequireHttps is true.");
        if (Audience.Length == 0)
            yield return (nameof(Audience), "is missing: else every token of the provider would be taken, whatever it was made for.");
        if (ScopeClaim.Length == 0)
            yield return (nameof(ScopeClaim), "is missing.");
        if (NameClaim.Length == 0)
            yield return (nameof(NameClaim), "is missing.");
    }
}
