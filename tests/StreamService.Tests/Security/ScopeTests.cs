using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using StreamService.Security;
using StreamService.Tests.Api;

namespace StreamService.Tests.Security;

/// <summary>Every call with every scope: what is not in the table is refused.</summary>
public sealed class ScopeTests : IAsyncLifetime
{
    /// <summary>The scope that each call of the API asks for, beside admin; null where anybody may.</summary>
    private static readonly Dictionary<string, string?> Table = new()
    {
        ["GET /hosts"] = Scopes.StreamsRead,
        ["GET /domains"] = Scopes.StreamsRead,
        ["POST /domains"] = Scopes.DomainsWrite,
        ["GET /domains/{id}"] = Scopes.StreamsRead,
        ["DELETE /domains/{id}"] = Scopes.DomainsWrite,
        ["GET /domains/{id}/streams"] = Scopes.StreamsRead,
        ["GET /domains/{id}/disks/{path}"] = Scopes.StreamsRead,
        ["GET /domains/{id}/disks/{path}/map"] = Scopes.StreamsRead,
        ["POST /domains/{id}/disks/{path}/stream"] = Scopes.StreamsWrite,
        ["PATCH /domains/{id}/disks/{path}/stream"] = Scopes.StreamsWrite,
        ["DELETE /domains/{id}/disks/{path}/stream"] = Scopes.StreamsWrite,
        ["GET /domains/{id}/disks/{path}/status"] = Scopes.StreamsRead,
        ["GET /streams"] = Scopes.StreamsRead,
        ["GET /streams/summary"] = Scopes.StreamsRead,
        ["GET /streams/{streamId}"] = Scopes.StreamsRead,
        ["GET /streams/{streamId}/events"] = Scopes.StreamsRead,
        ["GET /images"] = Scopes.StreamsRead,
        ["GET /images/{repository}/{name}"] = Scopes.StreamsRead,
        ["GET /images/{repository}/{name}/profile"] = Scopes.StreamsRead,
        ["PUT /images/{repository}/{name}/profile"] = Scopes.Admin,
        ["DELETE /images/{repository}/{name}/profile"] = Scopes.Admin,
        ["GET /budgets"] = Scopes.StreamsRead,
        ["GET /budgets/{name}"] = Scopes.StreamsRead,
        ["PUT /budgets/{name}"] = Scopes.Admin,
        ["DELETE /budgets/{name}"] = Scopes.Admin,
        ["POST /domains/{id}/migrations"] = Scopes.MigrationsWrite,
        ["GET /migrations"] = Scopes.StreamsRead,
        ["GET /migrations/{migrationId}"] = Scopes.StreamsRead,
        ["DELETE /migrations/{migrationId}"] = Scopes.MigrationsWrite,
        ["GET /session"] = null,
        ["POST /session"] = null,
        ["DELETE /session"] = null,
        // Beside the document.
        ["POST /hubs/streams/negotiate"] = Scopes.StreamsRead,
        ["GET /hubs/streams"] = Scopes.StreamsRead,
        ["GET /metrics"] = Scopes.StreamsRead,
        ["GET /healthz"] = null,
        ["GET /readyz"] = null,
        ["GET /openapi/v1.json"] = null,
        ["GET /swagger/index.html"] = null,
    };

    private readonly HostedService _service = GuardedService.WithKeys([.. Scopes.All]);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task Table_has_every_call_of_the_document_and_the_document_every_scope_of_the_table()
    {
        var document = await _service.CreateClient(keyOf: null).GetFromJsonAsync<JsonElement>("/openapi/v1.json", Token);
        var documented = new Dictionary<string, string?>();
        foreach (var path in document.GetProperty("paths").EnumerateObject())
            foreach (var operation in path.Value.EnumerateObject().Where(member => member.Name != "parameters"))
                documented[$"{operation.Name.ToUpperInvariant()} {path.Name}"] = operation.Value.TryGetProperty("security", out var security)
                    ? Assert.Single(Assert.Single(security.EnumerateArray()).GetProperty("bearer").EnumerateArray()).GetString()
                    : null;
        Assert.Equal(documented.OrderBy(call => call.Key, StringComparer.Ordinal), Table.Where(call => documented.ContainsKey(call.Key)).OrderBy(call => call.Key, StringComparer.Ordinal));
    }

    [Fact]
    public async Task Every_call_takes_the_scope_of_the_table_and_admin_and_no_other()
    {
        var wrong = new List<string>();
        foreach (var (call, needed) in Table)
            foreach (var scope in Scopes.All)
            {
                var status = await CallAsync(call, scope);
                var may = needed is null || scope == needed || scope == Scopes.Admin;
                if (status == HttpStatusCode.Unauthorized && call != "POST /session" || (status == HttpStatusCode.Forbidden) == may)
                    wrong.Add($"{call} with {scope}: {(int)status}");
            }
        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Without_a_key_or_with_an_unknown_one_nothing_is_answered_but_what_anybody_may()
    {
        var wrong = new List<string>();
        foreach (var (call, needed) in Table.Where(call => call.Key != "POST /session"))
            foreach (var key in new[] { null, "stranger" })
                if ((await CallAsync(call, key) == HttpStatusCode.Unauthorized) != (needed is not null))
                    wrong.Add($"{call} with {key ?? "no"} key");
        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Refusals_are_problem_documents_that_say_what_is_missing()
    {
        using var refused = await _service.CreateClient(Scopes.StreamsRead).DeleteAsync("/budgets/a", Token);
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        var problem = await refused.Content.ReadFromJsonAsync<JsonElement>(Token);
        Assert.Equal("forbidden", problem.GetProperty("code").GetString());
        Assert.Equal("This call needs the scope admin; 'streams:read' has streams:read.", problem.GetProperty("detail").GetString());

        using var unknown = await _service.CreateClient(keyOf: null).GetAsync("/hosts", Token);
        Assert.Equal(HttpStatusCode.Unauthorized, unknown.StatusCode);
        Assert.Equal("Bearer", unknown.Headers.WwwAuthenticate.ToString());
        Assert.Equal("application/problem+json", unknown.Content.Headers.ContentType!.MediaType);
        Assert.Equal("unauthorized", (await unknown.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("code").GetString());
    }

    [Fact]
    public async Task Key_comes_as_a_bearer_token_or_in_its_own_header()
    {
        using var client = _service.CreateClient(keyOf: null);
        client.DefaultRequestHeaders.Add("X-Api-Key", GuardedService.KeyOf(Scopes.StreamsRead));
        using var answer = await client.GetAsync("/hosts", Token);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Fact]
    public async Task Anybody_is_told_that_it_is_ready_and_only_readers_of_which_hosts()
    {
        Assert.Equal(JsonValueKind.Null, (await _service.CreateClient(keyOf: null).GetFromJsonAsync<JsonElement>("/readyz", Token)).GetProperty("hosts").ValueKind);
        Assert.Equal(JsonValueKind.Object, (await _service.CreateClient(Scopes.StreamsRead).GetFromJsonAsync<JsonElement>("/readyz", Token)).GetProperty("hosts").ValueKind);
    }

    private async Task<HttpStatusCode> CallAsync(string call, string? key)
    {
        var (method, path) = call.Split(' ') is [var first, var second] ? (first, second) : throw new FormatException(call);
        path = path.Replace("{id}", "nobody", StringComparison.Ordinal).Replace("{path}", "vda", StringComparison.Ordinal).Replace("{", "", StringComparison.Ordinal).Replace("}", "", StringComparison.Ordinal);
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (method is "POST" or "PUT" or "PATCH")
            request.Content = new StringContent("{}", Encoding.UTF8, "application/json");
        using var answer = await _service.CreateClient(key).SendAsync(request, Token);
        return answer.StatusCode;
    }
}
