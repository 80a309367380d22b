using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Security;

namespace StreamService.Api;

/// <summary>Signing in from a browser: a key or token is traded for a cookie that no script and no other site can use, so that it stands in no URL.</summary>
[ApiController]
[Route("session")]
[AllowAnonymous]
public sealed class SessionController(IOptions<StreamServiceOptions> options, ApiKeys keys, TimeProvider time) : ControllerBase
{
    /// <summary>Who calls, and what that caller may do.</summary>
    [HttpGet]
    [ProducesResponseType<SessionView>(StatusCodes.Status200OK, "application/json")]
    public SessionView Get() => View(User);

    /// <summary>Signs in.</summary>
    /// <response code="200">The cookie is set.</response>
    [HttpPost]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status401Unauthorized, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status413PayloadTooLarge, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status415UnsupportedMediaType, "application/problem+json")]
    [ProducesResponseType<SessionView>(StatusCodes.Status200OK, "application/json")]
    public async Task<SessionView> SignInAsync([FromBody] SessionRequest request)
    {
        var auth = options.Value.Auth;
        if (!auth.IsConfigured)
            return View(User);
        var credential = request.Credential.Trim();
        var (principal, expires) = auth.Jwt.IsConfigured && !credential.StartsWith(ApiKeys.Prefix, StringComparison.Ordinal)
            ? await ReadTokenAsync(credential)
            : (ApiKeyHandler.FindPrincipal(keys, credential), null);
        if (principal is null)
            throw new UnauthorizedException("The API key or token is not known, or not valid any more.");
        // A session does not outlive the token that it was begun with.
        var lifetime = time.GetUtcNow() + auth.SessionLifetime;
        await HttpContext.SignInAsync(Authentication.SessionScheme, principal, new AuthenticationProperties
        {
            ExpiresUtc = expires < lifetime ? expires : lifetime,
            AllowRefresh = expires is null,
        });
        HttpContext.User = principal;
        return View(principal);
    }

    /// <summary>Signs out.</summary>
    [HttpDelete]
    [ProducesResponseType(StatusCodes.Status204NoContent)]
    public async Task<IActionResult> SignOutAsync()
    {
        if (options.Value.Auth.IsConfigured)
            await HttpContext.SignOutAsync(Authentication.SessionScheme);
        return NoContent();
    }

    /// <summary>Has the provider's token looked at as with every other request.</summary>
    private async Task<(ClaimsPrincipal? Principal, DateTimeOffset? Expires)> ReadTokenAsync(string token)
    {
        Request.Headers.Authorization = "Bearer " + token;
        var result = await HttpContext.AuthenticateAsync(Authentication.JwtScheme);
        return (result.Principal, result.Properties?.ExpiresUtc);
    }

    private SessionView View(ClaimsPrincipal principal)
    {
        var caller = Caller.Of(principal);
        var signedIn = principal.Identity?.IsAuthenticated == true;
        return new SessionView(options.Value.Auth.IsConfigured, signedIn ? caller.Name : null, [.. caller.Scopes.Order(StringComparer.Ordinal)]);
    }
}

/// <summary>What one signs in with.</summary>
public sealed record SessionRequest
{
    /// <summary>An API key, or a token of the configured provider.</summary>
    [Required]
    [StringLength(16 << 10, MinimumLength = 1)]
    [NotAudited]
    public required string Credential { get; init; }
}

/// <summary>Who calls.</summary>
/// <param name="AuthenticationRequired">Whether one has to sign in at all.</param>
/// <param name="Caller">The caller's name; null where nobody has signed in.</param>
/// <param name="Scopes">What the caller may do.</param>
public sealed record SessionView(bool AuthenticationRequired, string? Caller, IReadOnlyList<string> Scopes);
