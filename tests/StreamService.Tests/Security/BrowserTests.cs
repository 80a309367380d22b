using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Mvc.Testing;
using StreamService.Security;
using StreamService.Tests.Api;

namespace StreamService.Tests.Security;

/// <summary>What keeps browsers, and the pages of others in them, in bounds.</summary>
public sealed class BrowserTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("/hosts", HttpStatusCode.OK)]
    [InlineData("/domains/none", HttpStatusCode.NotFound)]
    [InlineData("/nowhere", HttpStatusCode.NotFound)]
    [InlineData("/streams?limit=0", HttpStatusCode.BadRequest)]
    [InlineData("/swagger/index.html", HttpStatusCode.OK)]
    [InlineData("/", HttpStatusCode.OK)]
    public async Task Every_answer_has_the_security_headers(string url, HttpStatusCode status)
    {
        await using var service = new HostedService();
        using var answer = await service.CreateClient().GetAsync(url, Token);
        Assert.Equal(status, answer.StatusCode);
        Assert.Equal("nosniff", answer.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.Equal("DENY", answer.Headers.GetValues("X-Frame-Options").Single());
        Assert.Equal("no-referrer", answer.Headers.GetValues("Referrer-Policy").Single());
        var policy = answer.Headers.GetValues("Content-Security-Policy").Single();
        Assert.Contains("default-src 'none'", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.False(answer.Headers.Contains("Server"));
        Assert.False(answer.Headers.Contains("Access-Control-Allow-Origin"));
    }

    [Theory]
    [InlineData("GET", "/hosts", "http://evil.example", HttpStatusCode.OK)]
    [InlineData("DELETE", "/budgets/a", "http://evil.example", HttpStatusCode.Forbidden)]
    [InlineData("DELETE", "/budgets/a", "null", HttpStatusCode.Forbidden)]
    [InlineData("DELETE", "/budgets/a", "http://localhost:1", HttpStatusCode.Forbidden)]
    [InlineData("DELETE", "/budgets/a", "http://localhost", HttpStatusCode.NotFound)]
    [InlineData("DELETE", "/budgets/a", "https://localhost", HttpStatusCode.NotFound)] // before a proxy that ends TLS
    [InlineData("POST", "/hubs/streams/negotiate?negotiateVersion=1", "http://evil.example", HttpStatusCode.Forbidden)]
    [InlineData("POST", "/hubs/streams/negotiate?negotiateVersion=1", "http://localhost", HttpStatusCode.OK)]
    public async Task Pages_of_other_origins_change_nothing(string method, string url, string origin, HttpStatusCode status)
    {
        await using var service = new HostedService();
        using var request = new HttpRequestMessage(new HttpMethod(method), url);
        request.Headers.Add("Origin", origin);
        using var answer = await service.CreateClient().SendAsync(request, Token);
        Assert.Equal(status, answer.StatusCode);
    }

    [Fact]
    public async Task WebSockets_of_other_origins_are_refused()
    {
        await using var service = new HostedService();
        var sockets = service.Server.CreateWebSocketClient();
        sockets.ConfigureRequest = request => request.Headers.Origin = "http://evil.example";
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => sockets.ConnectAsync(new Uri("ws://localhost/hubs/streams"), Token));
        Assert.Contains("403", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Allowed_origin_may_call()
    {
        await using var service = new HostedService { Settings = { ["StreamService:Auth:AllowedOrigins:0"] = "https://console.example" } };
        using var request = new HttpRequestMessage(HttpMethod.Delete, "/budgets/a");
        request.Headers.Add("Origin", "https://console.example");
        using var answer = await service.CreateClient().SendAsync(request, Token);
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        Assert.Equal("https://console.example", answer.Headers.GetValues("Access-Control-Allow-Origin").Single());
    }

    [Fact]
    public async Task Without_authentication_only_loopback_names_are_answered()
    {
        await using var open = new HostedService();
        Assert.Equal(HttpStatusCode.BadRequest, await AskAsAsync(open, "rebound.example"));
        Assert.Equal(HttpStatusCode.OK, await AskAsAsync(open, "127.0.0.1:5080"));
        await using var guarded = GuardedService.WithKeys(Scopes.StreamsRead);
        Assert.Equal(HttpStatusCode.OK, await AskAsAsync(guarded, "streams.example"));

        static async Task<HttpStatusCode> AskAsAsync(HostedService service, string host)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/hosts");
            request.Headers.Host = host;
            using var answer = await service.CreateClient(Scopes.StreamsRead).SendAsync(request, Token);
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task Sign_in_trades_the_key_for_a_cookie_that_no_script_and_no_other_site_can_use()
    {
        await using var service = GuardedService.WithKeys(Scopes.StreamsRead);
        using var browser = service.CreateClient(new WebApplicationFactoryClientOptions { HandleCookies = true });
        var before = await browser.GetFromJsonAsync<JsonElement>("/session", Token);
        Assert.Equal("""{"authenticationRequired":true,"caller":null,"scopes":[]}""", before.GetRawText());

        using var wrong = await browser.PostAsJsonAsync("/session", new { credential = "ssk_wrong" }, Token);
        Assert.Equal(HttpStatusCode.Unauthorized, wrong.StatusCode);
        Assert.False(wrong.Headers.Contains("Set-Cookie"));

        using var signedIn = await browser.PostAsJsonAsync("/session", new { credential = GuardedService.KeyOf(Scopes.StreamsRead) }, Token);
        Assert.Equal("""{"authenticationRequired":true,"caller":"streams:read","scopes":["streams:read"]}""", await signedIn.Content.ReadAsStringAsync(Token));
        var cookie = signedIn.Headers.GetValues("Set-Cookie").Single();
        Assert.Contains("httponly", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("samesite=strict", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("ssk_", cookie, StringComparison.Ordinal);

        using var hosts = await browser.GetAsync("/hosts", Token);
        Assert.Equal(HttpStatusCode.OK, hosts.StatusCode);
        using var budget = await browser.DeleteAsync("/budgets/a", Token);
        Assert.Equal(HttpStatusCode.Forbidden, budget.StatusCode);

        using var signedOut = await browser.DeleteAsync("/session", Token);
        Assert.Equal(HttpStatusCode.NoContent, signedOut.StatusCode);
        using var after = await browser.GetAsync("/hosts", Token);
        Assert.Equal(HttpStatusCode.Unauthorized, after.StatusCode);
    }

    [Fact]
    public async Task Session_outlives_a_restart_and_ends_when_its_key_is_taken_away()
    {
        await using var first = GuardedService.WithKeys(Scopes.StreamsRead, Scopes.Admin);
        using var browser = first.CreateClient(GuardedService.Plain);
        using var signedIn = await browser.PostAsJsonAsync("/session", new { credential = GuardedService.KeyOf(Scopes.Admin) }, Token);
        var cookie = signedIn.Headers.GetValues("Set-Cookie").Single().Split(';')[0];

        await using var second = GuardedService.WithKeys(Scopes.StreamsRead, Scopes.Admin);
        second.Settings["StreamService:Storage:ConnectionString"] = first.ConnectionString;
        Assert.Equal(HttpStatusCode.OK, await AskAsync(second));
        await using var without = GuardedService.WithKeys(Scopes.StreamsRead);
        without.Settings["StreamService:Storage:ConnectionString"] = first.ConnectionString;
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(without));

        async Task<HttpStatusCode> AskAsync(HostedService service)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/hosts");
            request.Headers.Add("Cookie", cookie);
            using var answer = await service.CreateClient(GuardedService.Plain).SendAsync(request, Token);
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task Sign_in_needs_nothing_where_no_authentication_is_configured()
    {
        await using var service = new HostedService();
        using var client = service.CreateClient();
        Assert.Equal("""{"authenticationRequired":false,"caller":"anybody","scopes":["admin"]}""", await client.GetStringAsync("/session", Token));
        using var signedOut = await client.DeleteAsync("/session", Token);
        Assert.Equal(HttpStatusCode.NoContent, signedOut.StatusCode);
    }

    [Fact]
    public async Task Faults_of_a_sign_in_are_told_without_what_was_sent()
    {
        await using var service = GuardedService.WithKeys(Scopes.StreamsRead);
        using var answer = await service.CreateClient(GuardedService.Plain).PostAsync("/session", new StringContent("""{"credential":"ssk_secret","x":1}""", Encoding.UTF8, "application/json"), Token);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.DoesNotContain("ssk_secret", await answer.Content.ReadAsStringAsync(Token), StringComparison.Ordinal);
    }
}
