using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.Hypervisors;
using StreamService.Security;
using StreamService.Tests.Streaming;

namespace StreamService.Tests.Security;

public sealed class CallerTests
{
    private static Caller Limited(string[] hosts, string[] labels) => new("ci", [Scopes.StreamsRead], [.. hosts], [.. labels]);

    [Theory]
    [InlineData(new string[0], new string[0], true)]
    [InlineData(new[] { "h1" }, new string[0], true)]
    [InlineData(new[] { "h2" }, new string[0], false)]
    [InlineData(new[] { "h2", "h1" }, new string[0], true)]
    [InlineData(new string[0], new[] { "web" }, true)]
    [InlineData(new string[0], new[] { "db" }, false)]
    [InlineData(new[] { "h1" }, new[] { "db", "blue" }, true)]
    [InlineData(new[] { "h2" }, new[] { "web" }, false)]
    [InlineData(new[] { "h1" }, new[] { "we" }, false)]
    public void Sees_what_is_within_all_of_its_limits(string[] hosts, string[] labels, bool sees)
    {
        var caller = Limited(hosts, labels);
        var domain = new DomainInfo(Guid.NewGuid(), "a", "h1", DomainState.Running, []) { Labels = ["web", "blue"] };
        Assert.Equal(sees, caller.Sees(domain));
        var stream = StreamStatusTests.Status();
        Assert.Equal(sees, caller.Sees(stream with { Disk = stream.Disk with { Host = "h1" }, Labels = LabelSet.Of(domain.Labels) }));
    }

    [Fact]
    public void Whoever_is_limited_to_labels_does_not_see_what_has_none() => Assert.False(Limited([], ["web"]).Sees("h1", default));

    [Fact]
    public void Survives_its_way_through_an_identity()
    {
        var caller = new Caller("ci", [Scopes.StreamsRead, Scopes.StreamsWrite], ["h1"], ["web", "db"]);
        var read = Caller.Of(caller.ToPrincipal("test"));
        Assert.Equal(caller.Name, read.Name);
        Assert.Equal(caller.Scopes.Order(), read.Scopes.Order());
        Assert.Equal(caller.Hosts, read.Hosts);
        Assert.Equal(caller.Labels.Order(), read.Labels.Order());
    }

    [Fact]
    public void Label_sets_are_equal_by_value_whatever_their_order()
    {
        Assert.Equal(LabelSet.Of(["b", "a"]), LabelSet.Of(["a", "b"]));
        Assert.Equal(default, LabelSet.Of([]));
        Assert.Equal(["a", "b"], LabelSet.Of(["b", "a"]));
        Assert.Empty(default(LabelSet));
    }

    [Fact]
    public async Task Host_outside_of_the_limits_is_not_there()
    {
        await using var service = GuardedService.WithKeys();
        service.AddKey(0, "ci", Scopes.StreamsRead, Scopes.DomainsWrite);
        service.Settings["StreamService:Auth:ApiKeys:0:Hosts:0"] = "h1";
        foreach (var (i, host) in new[] { "h1", "h2" }.Index())
        {
            service.Settings[$"StreamService:Hosts:{i}:Name"] = host;
            service.Settings[$"StreamService:Hosts:{i}:Uri"] = $"qmp+unix:///nowhere/{host}/*.sock";
        }
        using var client = service.CreateClient("ci");

        Assert.Equal("h1", Assert.Single((await client.GetFromJsonAsync<JsonElement>("/hosts", Token)).EnumerateArray()).GetProperty("name").GetString());
        foreach (var url in new[] { "/domains?host=h2", "/streams?host=h2", "/migrations?host=h2" })
        {
            using var answer = await client.GetAsync(url, Token);
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
            Assert.Equal("host-not-found", (await answer.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("code").GetString());
        }
        using var deployed = await client.PostAsJsonAsync("/domains", new { name = "a", host = "h2", image = "r/n", format = "qcow2", memoryMiB = 1, vcpus = 1 }, Token);
        Assert.Equal("host-not-found", (await deployed.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("code").GetString());
    }

    [Fact]
    public async Task Who_is_limited_gets_no_figures_of_all_hosts()
    {
        await using var service = GuardedService.WithKeys(Scopes.StreamsRead);
        service.AddKey(1, "ci", Scopes.StreamsRead);
        service.Settings["StreamService:Auth:ApiKeys:1:Labels:0"] = "web";

        using var refused = await service.CreateClient("ci").GetAsync("/metrics", Token);
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        Assert.Equal("This call tells of all hosts and domains; 'ci' is limited to some.", (await refused.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("detail").GetString());
        Assert.Contains("streamservice_queue_length", await service.CreateClient(Scopes.StreamsRead).GetStringAsync("/metrics", Token), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Budgets_of_what_the_caller_does_not_see_are_not_there()
    {
        await using var service = GuardedService.WithKeys();
        service.AddKey(0, "ci", Scopes.StreamsRead);
        service.Settings["StreamService:Auth:ApiKeys:0:Labels:0"] = "web";
        foreach (var (i, (name, scope, match)) in new[] { ("all", "Service", null), ("mine", "Label", "web"), ("theirs", "Label", "db") }.Index())
        {
            service.Settings[$"StreamService:Budgets:{i}:Name"] = name;
            service.Settings[$"StreamService:Budgets:{i}:Scope"] = scope;
            if (match is not null)
                service.Settings[$"StreamService:Budgets:{i}:Match"] = match;
        }
        using var client = service.CreateClient("ci");

        var budgets = await client.GetFromJsonAsync<JsonElement>("/budgets", Token);
        Assert.Equal(["all", "mine"], budgets.EnumerateArray().Select(budget => budget.GetProperty("name").GetString()));
        using var hidden = await client.GetAsync("/budgets/theirs", Token);
        Assert.Equal(HttpStatusCode.NotFound, hidden.StatusCode);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;
}
