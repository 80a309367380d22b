using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using StreamService.Security;

namespace StreamService.Tests.Security;

/// <summary>Rate limits and the audit log.</summary>
public sealed class LimitTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_asks_too_much_is_told_when_to_come_back_and_others_are_not_held_up()
    {
        await using var service = GuardedService.WithKeys(Scopes.StreamsRead, Scopes.Admin);
        service.Settings["StreamService:RateLimit:RequestsPerSecond"] = "1";
        service.Settings["StreamService:RateLimit:Burst"] = "3";
        using var busy = service.CreateClient(Scopes.StreamsRead);
        HttpResponseMessage? refused = null;
        for (var i = 0; i < 10 && refused is null; i++)
        {
            var answer = await busy.GetAsync("/hosts", Token);
            if (answer.StatusCode == HttpStatusCode.TooManyRequests)
                refused = answer;
            else
                answer.Dispose();
        }

        Assert.NotNull(refused);
        Assert.Equal(TimeSpan.FromSeconds(1), refused.Headers.RetryAfter!.Delta);
        Assert.Equal("too-many-requests", (await refused.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("code").GetString());
        refused.Dispose();
        using var other = await service.CreateClient(Scopes.Admin).GetAsync("/hosts", Token);
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
        using var probe = await busy.GetAsync("/healthz", Token);
        Assert.Equal(HttpStatusCode.OK, probe.StatusCode);
    }

    [Fact]
    public async Task Every_change_and_every_refused_one_is_in_the_audit_file_and_nothing_secret_is()
    {
        var folder = Directory.CreateTempSubdirectory("streamservice-test-");
        try
        {
            await using (var service = GuardedService.WithKeys(Scopes.Admin, Scopes.StreamsRead))
            {
                service.Settings["StreamService:AuditFile"] = Path.Combine(folder.FullName, "audit.json");
                using var admin = service.CreateClient(Scopes.Admin);
                (await admin.PutAsJsonAsync("/budgets/night", new { scope = "service", bytesPerSecond = 7 }, Token)).Dispose();
                (await service.CreateClient(Scopes.StreamsRead).DeleteAsync("/budgets/night", Token)).Dispose();
                (await service.CreateClient("stranger").DeleteAsync("/budgets/night%0Aforged", Token)).Dispose();
                (await admin.GetAsync("/budgets", Token)).Dispose();
                (await admin.PostAsJsonAsync("/session", new { credential = GuardedService.KeyOf(Scopes.Admin) }, Token)).Dispose();
                (await admin.PostAsync("/domains", new StringContent("""{"name":"a","host":"none","image":"r/n","format":"qcow2","memoryMiB":1,"vcpus":1,"domainXml":"<graphics passwd='secret'/>"}""", Encoding.UTF8, "application/json"), Token)).Dispose();
            }

            var text = await File.ReadAllTextAsync(Assert.Single(folder.GetFiles()).FullName, Token);
            var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement).ToList();
            Assert.Equal(
                [
                    ("admin", "PUT", "/budgets/night", 201, "/budgets/night"),
                    ("streams:read", "DELETE", "/budgets/night", 403, "forbidden"),
                    ("nobody", "DELETE", "/budgets/night%0Aforged", 401, "unauthorized"),
                    ("admin", "POST", "/session", 200, ""),
                    ("admin", "POST", "/domains", 404, "host-not-found"),
                ],
                lines.Select(line => (Text(line, "Caller"), Text(line, "Method"), Text(line, "Path"), line.GetProperty("Status").GetInt32(), Text(line, "Outcome"))));
            Assert.Contains("\"bytesPerSecond\":7", Text(lines[0], "Body"), StringComparison.Ordinal);
            Assert.Contains("\"image\":\"r/n\"", Text(lines[4], "Body"), StringComparison.Ordinal);
            Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
            Assert.DoesNotContain("ssk_", text, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        static string Text(JsonElement line, string member) => line.GetProperty(member).GetString()!;
    }
}
