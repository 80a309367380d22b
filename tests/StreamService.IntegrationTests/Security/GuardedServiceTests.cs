using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.AspNetCore.SignalR.Client;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Security;

/// <summary>The real service, guarded, with real domains.</summary>
[Trait("Category", "Slow")]
public sealed class GuardedServiceTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Key_that_is_limited_to_labels_sees_and_streams_no_other_domain()
    {
        await using var mine = await TestDomain.StartAsync(size: 16 << 20);
        await using var theirs = await TestDomain.StartAsync(size: 16 << 20);
        await TestDomain.VirshAsync("metadata", mine.Name, "urn:streamservice:labels:1", "--key", "s", "--set", "<labels>web</labels>", "--live", "--config");
        await using var service = await ServiceProcess.StartAsync(new() { ["StreamService__Auth__ApiKeys__1__Labels__0"] = "web", ["StreamService__Auth__ApiKeys__1__Scopes__1"] = "streams:write" }, guarded: true);
        using var limited = new HttpClient(new OpenApiContract(service.Transport())) { BaseAddress = service.Address };
        limited.DefaultRequestHeaders.Authorization = new("Bearer", ServiceProcess.ReaderKey);
        await using var hub = new HubConnectionBuilder().WithUrl(new Uri(service.Address, "/hubs/streams"), options => options.AccessTokenProvider = () => Task.FromResult<string?>(ServiceProcess.ReaderKey)).Build();
        var heard = new System.Collections.Concurrent.ConcurrentBag<(Guid Domain, string? State)>();
        hub.On<JsonElement>("StreamStateChanged", status => heard.Add((status.GetProperty("domain").GetGuid(), status.GetProperty("state").GetString())));
        await hub.StartAsync(Token);
        Assert.Empty((await hub.InvokeAsync<JsonElement>("Subscribe", new { }, Token)).EnumerateArray());

        Assert.Equal(mine.Id, Assert.Single((await limited.GetFromJsonAsync<JsonElement>("/domains", Token)).GetProperty("items").EnumerateArray()).GetProperty("id").GetGuid());
        foreach (var url in new[] { $"/domains/{theirs.Id}", $"/domains/{theirs.Name}", ServiceProcess.DiskUrl(theirs), ServiceProcess.DiskUrl(theirs) + "/status", $"/domains/{theirs.Id}/streams" })
            Assert.Equal("domain-not-found", await CodeAsync(await limited.GetAsync(url, Token), HttpStatusCode.NotFound));
        Assert.Equal("domain-not-found", await CodeAsync(await limited.PostAsJsonAsync(ServiceProcess.DiskUrl(theirs) + "/stream", new { mode = "full" }, Token), HttpStatusCode.NotFound));
        Assert.Equal("forbidden", await CodeAsync(await limited.DeleteAsync("/budgets/a", Token), HttpStatusCode.Forbidden));

        // Both are streamed; the limited key hears of its own alone.
        var other = await service.StartStreamAsync(theirs, new { mode = "full" });
        await service.WaitForStateAsync(theirs, "completed");
        using var accepted = await limited.PostAsJsonAsync(ServiceProcess.DiskUrl(mine) + "/stream", new { mode = "full" }, Token);
        Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);
        await service.WaitForStateAsync(mine, "completed");
        await Shell.WaitForAsync("the hub to tell of the end", () => Task.FromResult(heard.Contains((mine.Id, "completed"))));
        Assert.DoesNotContain(heard, change => change.Domain == theirs.Id);
        var streams = await limited.GetFromJsonAsync<JsonElement>("/streams", Token);
        Assert.Equal(mine.Id, Assert.Single(streams.GetProperty("items").EnumerateArray()).GetProperty("domain").GetGuid());
        Assert.Equal("stream-not-found", await CodeAsync(await limited.GetAsync($"/streams/{other.GetProperty("streamId").GetString()}", Token), HttpStatusCode.NotFound));
        Assert.Equal(2, (await service.Http.GetFromJsonAsync<JsonElement>("/streams", Token)).GetProperty("items").GetArrayLength());
    }

    [Fact]
    public async Task Hub_takes_no_one_without_a_key()
    {
        await using var service = await ServiceProcess.StartAsync(guarded: true);
        await using var hub = new HubConnectionBuilder().WithUrl(new Uri(service.Address, "/hubs/streams")).Build();
        var refused = await Assert.ThrowsAsync<HttpRequestException>(() => hub.StartAsync(Token));
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
    }

    [Fact]
    public async Task Idempotency_keys_of_two_callers_are_two_keys()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20);
        await using var service = await ServiceProcess.StartAsync(new() { ["StreamService__Auth__ApiKeys__1__Scopes__1"] = "streams:write" }, guarded: true);
        var first = await AskAsync(ServiceProcess.AdminKey);
        await service.WaitForStateAsync(domain, "completed");
        Assert.Equal(HttpStatusCode.Accepted, first);
        Assert.Equal(HttpStatusCode.Accepted, await AskAsync(ServiceProcess.AdminKey));
        // To somebody else it says nothing of what the first was answered.
        Assert.Equal(HttpStatusCode.Conflict, await AskAsync(ServiceProcess.ReaderKey));

        async Task<HttpStatusCode> AskAsync(string key)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(service.Address, ServiceProcess.DiskUrl(domain) + "/stream")) { Content = JsonContent.Create(new { mode = "full" }) };
            request.Headers.Authorization = new("Bearer", key);
            request.Headers.Add("Idempotency-Key", "one");
            using var client = new HttpClient();
            using var answer = await client.SendAsync(request, Token);
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task Other_addresses_than_the_loopback_are_listened_on_with_authentication_only_and_by_TLS()
    {
        var folder = Directory.CreateTempSubdirectory("streamservice-test-");
        try
        {
            using var key = RSA.Create(2048);
            var now = TimeProvider.System.GetUtcNow();
            var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
            using var certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "cert.pem"), certificate.ExportCertificatePem(), Token);
            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "key.pem"), key.ExportPkcs8PrivateKeyPem(), Token);
            var port = ServiceProcess.FreePort();
            // Every address, which on this machine is more than the loopback.
            var address = string.Create(CultureInfo.InvariantCulture, $"https://*:{port}");
            var settings = new Dictionary<string, string>
            {
                ["Kestrel__Certificates__Default__Path"] = Path.Combine(folder.FullName, "cert.pem"),
                ["Kestrel__Certificates__Default__KeyPath"] = Path.Combine(folder.FullName, "key.pem"),
            };

            var refused = await ServiceProcess.RunToEndAsync(settings, address);
            Assert.Equal(StreamService.Configuration.StartupFaults.ExitCode, refused.ExitCode);
            Assert.Contains($"Refusing to listen on {address} without authentication", refused.Log, StringComparison.Ordinal);
            Assert.Contains("StreamService:Auth:ApiKeys:0:Name, :Hash and :Scopes:0", refused.Log, StringComparison.Ordinal);

            await using var service = await ServiceProcess.StartAsync(settings, guarded: true, alsoAt: address);
            using var handler = new SocketsHttpHandler();
            handler.SslOptions.RemoteCertificateValidationCallback = (_, presented, _, _) => presented!.GetCertHashString() == certificate.GetCertHashString();
            using var client = new HttpClient(handler) { BaseAddress = new Uri($"https://127.0.0.1:{port}") };
            using var nobody = await client.GetAsync("/hosts", Token);
            Assert.Equal(HttpStatusCode.Unauthorized, nobody.StatusCode);
            Assert.Equal("max-age=31536000", nobody.Headers.GetValues("Strict-Transport-Security").Single());
            client.DefaultRequestHeaders.Authorization = new("Bearer", ServiceProcess.ReaderKey);
            using var known = await client.GetAsync("/hosts", Token);
            Assert.Equal(HttpStatusCode.OK, known.StatusCode);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Sockets_and_arguments_give_nothing_away()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20);
        await using var service = await ServiceProcess.StartAsync(guarded: true);
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 1 << 20 });
        string[] sockets = [];
        await Shell.WaitForAsync("the export's socket", () => Task.FromResult((sockets = Directory.GetFiles(service.RuntimeFolder, "*.sock")).Length > 0));

        const UnixFileMode ownerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Assert.Equal(ownerOnly, File.GetUnixFileMode(service.RuntimeFolder));
        // Another user does not even get to the name.
        var tried = await Assert.ThrowsAsync<InvalidOperationException>(() => Shell.RunAsync("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "stat", sockets[0]));
        Assert.Contains("Permission denied", tried.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("ssk_", await File.ReadAllTextAsync($"/proc/{service.ProcessId}/cmdline", Token), StringComparison.Ordinal);
        Assert.DoesNotContain("ssk_", service.LogText, StringComparison.Ordinal);
    }

    private static async Task<string?> CodeAsync(HttpResponseMessage answer, HttpStatusCode status)
    {
        using (answer)
        {
            Assert.Equal(status, answer.StatusCode);
            return (await answer.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("code").GetString();
        }
    }
}
