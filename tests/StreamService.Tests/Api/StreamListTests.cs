using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using StreamService.Hypervisors;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Tests.Security;
using StreamService.Tests.Streaming;

namespace StreamService.Tests.Api;

/// <summary>GET /streams and GET /streams/summary over records, also for callers that do not see all of them.</summary>
public sealed class StreamListTests : IAsyncLifetime
{
    private static readonly DateTimeOffset Time = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly HostedService _service = GuardedService.WithKeys();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        foreach (var (i, name) in new[] { "all", "limited" }.Index())
            _service.AddKey(i, name, Scopes.StreamsRead);
        _service.Settings["StreamService:Auth:ApiKeys:1:Labels:0"] = "web";
        foreach (var (i, host) in new[] { "h1", "h2" }.Index())
        {
            _service.Settings[$"StreamService:Hosts:{i}:Name"] = host;
            _service.Settings[$"StreamService:Hosts:{i}:Uri"] = $"qmp+unix:///nowhere/{host}/*.sock";
        }
        // States that are over: the service takes up all others.
        var store = _service.Services.GetRequiredService<StreamStore>();
        for (var i = 0; i < 12; i++)
            await store.AddAsync(StreamStatusTests.Status(i % 3 == 0 ? StreamState.Failed : StreamState.Completed) with
            {
                StreamId = Guid.NewGuid(),
                Disk = new DiskAddress(i % 2 == 0 ? "h1" : "h2", Guid.NewGuid(), "vda"),
                DomainName = $"d{i:00}",
                CreatedAt = Time.AddSeconds(i),
                Labels = LabelSet.Of(i % 4 == 0 ? ["web"] : []),
            }, null, epoch: 0, Token);
    }

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task Pages_follow_the_sort_that_was_asked_for()
    {
        var names = new List<string>();
        string? cursor = null;
        do
        {
            var page = await GetAsync("all", $"/streams?sort=name&limit=5{(cursor is null ? "" : $"&cursor={cursor}")}");
            names.AddRange(Names(page));
            cursor = page.GetProperty("nextCursor").GetString();
        }
        while (cursor is not null);
        Assert.Equal(Enumerable.Range(0, 12).Select(i => $"d{i:00}"), names);
        Assert.Equal(["d11", "d10"], Names(await GetAsync("all", "/streams?limit=2")));
        Assert.Equal(["d00", "d01"], Names(await GetAsync("all", "/streams?limit=2&direction=asc")));
        Assert.Equal(["d09", "d03"], Names(await GetAsync("all", "/streams?q=H2&state=failed")));
    }

    [Fact]
    public async Task Cursor_of_another_order_and_unknown_words_are_refused()
    {
        var cursor = (await GetAsync("all", "/streams?sort=name&limit=5")).GetProperty("nextCursor").GetString();
        foreach (var (query, member) in new[]
        {
            ($"cursor={cursor}", "cursor"), ($"sort=name&direction=desc&cursor={cursor}", "cursor"), ("sort=colour", "sort"), ("sort=1", "sort"), ("direction=up", "direction"),
            ($"q={new string('a', 201)}", "q"),
        })
        {
            using var answer = await _service.CreateClient("all").GetAsync($"/streams?{query}", Token);
            Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
            Assert.Contains(member, (await answer.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("errors").EnumerateObject().Select(error => error.Name));
        }
    }

    [Fact]
    public async Task Summary_adds_up_what_the_caller_sees()
    {
        var all = await GetAsync("all", "/streams/summary");
        Assert.Equal((12, 4, 8, 4), Counts(all));
        Assert.Equal(["h1", "h2"], all.GetProperty("hosts").EnumerateArray().Select(host => host.GetProperty("host").GetString()));
        Assert.Equal(JsonValueKind.Null, all.GetProperty("etaSeconds").ValueKind);
        // d00, d04, d08: the first of them failed.
        var limited = await GetAsync("limited", "/streams/summary");
        Assert.Equal((3, 1, 2, 1), Counts(limited));
        Assert.Equal("h1", Assert.Single(limited.GetProperty("hosts").EnumerateArray()).GetProperty("host").GetString());
        Assert.Equal(["d08", "d04", "d00"], Names(await GetAsync("limited", "/streams")));
        Assert.Equal((6, 2, 4, 2), Counts(await GetAsync("all", "/streams/summary?host=h2")));
        Assert.Equal((1, 0, 1, 0), Counts(await GetAsync("all", "/streams/summary?q=d10")));
        using var unknown = await _service.CreateClient("all").GetAsync("/streams/summary?host=h3", Token);
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
    }

    private static (int Streams, int Failed, int Completed, int Attention) Counts(JsonElement summary) => (
        summary.GetProperty("streams").GetInt32(), summary.GetProperty("states").GetProperty("failed").GetInt32(),
        summary.GetProperty("states").GetProperty("completed").GetInt32(), summary.GetProperty("attention").GetInt32());

    private static IEnumerable<string> Names(JsonElement page) => page.GetProperty("items").EnumerateArray().Select(stream => stream.GetProperty("domainName").GetString()!);

    private Task<JsonElement> GetAsync(string key, string url) => _service.CreateClient(key).GetFromJsonAsync<JsonElement>(url, Token);
}
