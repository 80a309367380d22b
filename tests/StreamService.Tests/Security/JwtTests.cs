using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using StreamService.Security;
using StreamService.Tests.Api;

namespace StreamService.Tests.Security;

/// <summary>Tokens of an OpenID Connect provider, which is here in small: its discovery document and its keys, over HTTP.</summary>
public sealed class JwtTests : IAsyncLifetime
{
    private readonly RsaSecurityKey _key = new(RSA.Create(2048)) { KeyId = "one" };
    private readonly HostedService _service = new();
    private WebApplication? _provider;
    private string _authority = "";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _provider = builder.Build();
        var jwk = JsonWebKeyConverter.ConvertFromRSASecurityKey(_key);
        _provider.MapGet("/.well-known/openid-configuration", () => Results.Json(new { issuer = _authority, jwks_uri = _authority + "/keys" }));
        _provider.MapGet("/keys", () => Results.Json(new { keys = new[] { new { kty = "RSA", use = "sig", kid = jwk.Kid, n = jwk.N, e = jwk.E } } }));
        await _provider.StartAsync(Token);
        _authority = _provider.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        _service.Settings["StreamService:Auth:Jwt:Authority"] = _authority;
        _service.Settings["StreamService:Auth:Jwt:Audience"] = "streamservice";
        _service.Settings["StreamService:Auth:Jwt:RequireHttps"] = "false";
    }

    public async ValueTask DisposeAsync()
    {
        await _service.DisposeAsync();
        if (_provider is not null)
            await _provider.DisposeAsync();
        _key.Rsa.Dispose();
    }

    [Fact]
    public async Task Token_opens_what_its_scopes_name_and_no_more()
    {
        var token = Make(scope: "openid streams:read");
        Assert.Equal(HttpStatusCode.OK, await AskAsync(token, HttpMethod.Get, "/hosts"));
        Assert.Equal(HttpStatusCode.Forbidden, await AskAsync(token, HttpMethod.Delete, "/budgets/a"));
        Assert.Equal(HttpStatusCode.NotFound, await AskAsync(Make(scope: "admin"), HttpMethod.Delete, "/budgets/a"));
        Assert.Equal(HttpStatusCode.Forbidden, await AskAsync(Make(scope: ""), HttpMethod.Get, "/hosts"));
    }

    [Fact]
    public async Task Token_of_another_audience_another_issuer_another_key_or_another_time_opens_nothing()
    {
        using var other = RSA.Create(2048);
        foreach (var token in new[]
        {
            Make(audience: "somebody-else"),
            Make(issuer: "http://127.0.0.1:1"),
            Make(key: new RsaSecurityKey(other) { KeyId = "one" }),
            Make(lifetime: TimeSpan.FromHours(-2)),
            Make()[..^4] + "AAAA",
            "not.a.token",
            Unsigned(),
        })
            Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(token, HttpMethod.Get, "/hosts"));
    }

    [Fact]
    public async Task Keys_are_taken_beside_tokens()
    {
        _service.AddKey(0, "ci", Scopes.StreamsRead);
        Assert.Equal(HttpStatusCode.OK, await AskAsync(GuardedService.KeyOf("ci"), HttpMethod.Get, "/hosts"));
        Assert.Equal(HttpStatusCode.OK, await AskAsync(Make(), HttpMethod.Get, "/hosts"));
    }

    [Fact]
    public async Task Session_does_not_outlive_the_token_it_was_begun_with()
    {
        using var client = _service.CreateClient(GuardedService.Plain);
        using var signedIn = await client.PostAsJsonAsync("/session", new { credential = Make(lifetime: TimeSpan.FromMinutes(10)) }, Token);
        var session = await signedIn.Content.ReadFromJsonAsync<JsonElement>(Token);
        Assert.Equal("alice", session.GetProperty("caller").GetString());

        var cookie = signedIn.Headers.GetValues("Set-Cookie").Single().Split(';')[0];
        using var request = new HttpRequestMessage(HttpMethod.Get, "/hosts");
        request.Headers.Add("Cookie", cookie);
        using var answer = await client.SendAsync(request, Token);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var ticket = _service.Services.GetRequiredService<Microsoft.Extensions.Options.IOptionsMonitor<Microsoft.AspNetCore.Authentication.Cookies.CookieAuthenticationOptions>>()
            .Get(Authentication.SessionScheme).TicketDataFormat.Unprotect(cookie[(cookie.IndexOf('=', StringComparison.Ordinal) + 1)..])!;
        Assert.InRange(ticket.Properties.ExpiresUtc!.Value, TimeProvider.System.GetUtcNow() + TimeSpan.FromMinutes(8), TimeProvider.System.GetUtcNow() + TimeSpan.FromMinutes(10.1));
        Assert.False(ticket.Properties.AllowRefresh);
    }

    private string Make(string scope = "streams:read", string audience = "streamservice", string? issuer = null, SecurityKey? key = null, TimeSpan? lifetime = null)
    {
        var expires = TimeProvider.System.GetUtcNow().UtcDateTime + (lifetime ?? TimeSpan.FromHours(1));
        return new JsonWebTokenHandler().CreateToken(new SecurityTokenDescriptor
        {
            Issuer = issuer ?? _authority,
            Audience = audience,
            NotBefore = expires - TimeSpan.FromHours(3),
            IssuedAt = expires - TimeSpan.FromHours(3),
            Expires = expires,
            Subject = new ClaimsIdentity([new Claim("sub", "alice"), new Claim("scope", scope), new Claim("host", "h1")]),
            SigningCredentials = new SigningCredentials(key ?? _key, SecurityAlgorithms.RsaSha256),
        });
    }

    private string Unsigned() => new JsonWebTokenHandler().CreateToken(new SecurityTokenDescriptor
    {
        Issuer = _authority,
        Audience = "streamservice",
        Expires = TimeProvider.System.GetUtcNow().UtcDateTime.AddHours(1),
        Subject = new ClaimsIdentity([new Claim("sub", "mallory"), new Claim("scope", Scopes.Admin)]),
    });

    private async Task<HttpStatusCode> AskAsync(string token, HttpMethod method, string url)
    {
        using var request = new HttpRequestMessage(method, url);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await _service.CreateClient(GuardedService.Plain).SendAsync(request, Token);
        return answer.StatusCode;
    }
}
