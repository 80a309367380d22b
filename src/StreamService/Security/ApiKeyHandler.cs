using System.Security.Claims;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;

namespace StreamService.Security;

/// <summary>Takes an API key, as <c>Authorization: Bearer ssk_…</c> or <c>X-Api-Key: ssk_…</c>.</summary>
internal sealed class ApiKeyHandler(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder, ApiKeys keys)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "ApiKey";
    public const string Header = "X-Api-Key";

    /// <summary>Says which key a session was begun with.</summary>
    public const string HashClaim = "key";

    protected override Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        var key = Request.Headers[Header].ToString() is { Length: > 0 } header ? header : Bearer.Read(Request);
        if (key is null)
            return Task.FromResult(AuthenticateResult.NoResult());
        return Task.FromResult(FindPrincipal(keys, key) is { } principal
            ? AuthenticateResult.Success(new AuthenticationTicket(principal, SchemeName))
            : AuthenticateResult.Fail("The API key is not known."));
    }

    /// <summary>Who has the key; null for none of ours.</summary>
    public static ClaimsPrincipal? FindPrincipal(ApiKeys keys, string key) =>
        keys.Find(key) is var (caller, hash) ? ToPrincipal(caller, hash, SchemeName) : null;

    /// <summary>The key's owner, and which key it was.</summary>
    public static ClaimsPrincipal ToPrincipal(Caller caller, string hash, string scheme)
    {
        var principal = caller.ToPrincipal(scheme);
        ((ClaimsIdentity)principal.Identity!).AddClaim(new Claim(HashClaim, hash));
        return principal;
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        Response.StatusCode = StatusCodes.Status401Unauthorized;
        Response.Headers.WWWAuthenticate = "Bearer";
        return Task.CompletedTask;
    }
}

/// <summary>Lets everybody in: no authentication is configured, and the service listens on the loopback only.</summary>
internal sealed class OpenHandler(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "Open";

    private static readonly Caller Anybody = new(Caller.Anybody, [Scopes.Admin], [], []);

    protected override Task<AuthenticateResult> HandleAuthenticateAsync() =>
        Task.FromResult(AuthenticateResult.Success(new AuthenticationTicket(Anybody.ToPrincipal(SchemeName), SchemeName)));
}

/// <summary>The token of an Authorization header.</summary>
internal static class Bearer
{
    private const string Prefix = "Bearer ";

    /// <summary>Null where there is none.</summary>
    public static string? Read(HttpRequest request) =>
        request.Headers.Authorization.ToString() is var header && header.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase)
            ? header[Prefix.Length..].Trim()
            : null;
}
