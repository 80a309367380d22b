using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Api;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Fleet;

/// <summary>Three replicas; whichever is asked answers, whichever drives.</summary>
[Trait("Category", "Slow")]
public sealed class AnyReplicaTests(SharedFleet shared) : IClassFixture<SharedFleet>
{
    private const long Pace = 2 << 20;

    [Fact]
    public async Task Each_drives_its_share_and_all_tell_the_same()
    {
        var fleet = await shared.StartedAsync();
        await using var one = await fleet.StartDomainAsync("h1");
        await using var two = await fleet.StartDomainAsync("h2");
        await using var three = await fleet.StartDomainAsync("h3");
        string[] names = [one.Name, two.Name, three.Name];
        var drivers = await fleet.DriversAsync(0);
        Assert.Equal(["a", "b", "c"], drivers.Values.Order());
        for (var i = 0; i < 3; i++)
        {
            var http = fleet.Replicas[i].Http;
            Assert.Equal(drivers, await fleet.DriversAsync(i));
            var listed = (await http.GetFromJsonAsync<JsonElement>("/domains")).GetProperty("items").EnumerateArray().ToList();
            Assert.Equal(names.Order(), listed.Select(domain => domain.GetProperty("name").GetString()).Where(names.Contains).Order());
            Assert.Equal(["h1", "h2", "h3"], listed.Where(domain => names.Contains(domain.GetProperty("name").GetString())).Select(domain => domain.GetProperty("host").GetString()));
            var paged = new List<string?>();
            for (string? cursor = ""; cursor is not null;)
            {
                var page = await http.GetFromJsonAsync<JsonElement>($"/domains?limit=1&cursor={cursor}");
                paged.AddRange(page.GetProperty("items").EnumerateArray().Select(domain => domain.GetProperty("name").GetString()));
                cursor = page.GetProperty("nextCursor").GetString();
            }
            Assert.Equal(listed.Select(domain => domain.GetProperty("name").GetString()), paged);
            Assert.Equal(two.Name, Assert.Single((await http.GetFromJsonAsync<JsonElement>("/domains?host=h2")).GetProperty("items").EnumerateArray(),
                domain => domain.GetProperty("name").GetString() == two.Name).GetProperty("name").GetString());
            using var missing = await http.GetAsync("/domains/nobody/disks/vda");
            Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
        }
    }

    [Fact]
    public async Task Full_streams_and_single_steps_are_begun_changed_watched_and_ended_by_way_of_any()
    {
        var fleet = await shared.StartedAsync();
        var driver = await fleet.DriverOfAsync("h1");
        await using var domain = await fleet.StartDomainAsync("h1", 96 << 20);
        var disk = ServiceProcess.DiskUrl(domain);
        foreach (var i in Enumerable.Range(0, 3).OrderBy(i => i == driver))
        {
            var (one, next) = (fleet.Replicas[i], fleet.Replicas[(i + 1) % 3]);
            using var step = await one.Http.PostAsJsonAsync($"{disk}/stream", new { mode = "single", offset = (40 + i) << 20, length = 512 });
            Assert.Equal((64 << 10, false), ((await step.Content.ReadFromJsonAsync<JsonElement>()) is var stepped ? (stepped.GetProperty("populated").GetInt32(), stepped.GetProperty("done").GetBoolean()) : default));
            // By its path too, whose slashes are encoded.
            using var byPath = await next.Http.GetAsync($"/domains/{domain.Key}/disks/{Uri.EscapeDataString(domain.Disk)}");
            Assert.Equal(HttpStatusCode.OK, byPath.StatusCode);

            using var request = new HttpRequestMessage(HttpMethod.Post, $"{disk}/stream") { Content = JsonContent.Create(new { mode = "full", bandwidth = Pace }) };
            request.Headers.Add("Idempotency-Key", $"key-{i}");
            using var accepted = await one.Http.SendAsync(request);
            Assert.True(accepted.StatusCode == HttpStatusCode.Accepted, $"{await accepted.Content.ReadAsStringAsync()}\n{fleet.LogText}");
            var begun = await accepted.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal($"/domains/{begun.GetProperty("domain").GetString()}/disks/vda/status", accepted.Headers.Location?.ToString());
            using var again = new HttpRequestMessage(HttpMethod.Post, $"{disk}/stream") { Content = JsonContent.Create(new { mode = "full", bandwidth = Pace }) };
            again.Headers.Add("Idempotency-Key", $"key-{i}");
            using var repeated = await next.Http.SendAsync(again);
            Assert.Equal(begun.GetProperty("streamId").GetString(), (await repeated.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("streamId").GetString());

            var moved = await next.WaitForAsync(disk, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 0);
            var live = await one.Http.GetFromJsonAsync<JsonElement>($"/streams/{begun.GetProperty("streamId").GetString()}");
            Assert.True(live.GetProperty("generation").GetInt64() >= moved.GetProperty("generation").GetInt64());
            Assert.Equal("paused", (await next.ChangeAsync(disk, new { state = "paused" })).GetProperty("state").GetString());
            Assert.Equal("paused", (await one.StatusAsync(disk)).GetProperty("state").GetString());
            using var cancelled = await one.Http.DeleteAsync($"{disk}/stream");
            Assert.Equal(HttpStatusCode.Accepted, cancelled.StatusCode);
            await next.WaitForStateAsync(disk, "cancelled");
            var map = await next.Http.GetFromJsonAsync<JsonElement>($"{disk}/map?buckets=4");
            Assert.Equal(4, map.GetProperty("buckets").GetArrayLength());
        }
        await fleet.Replicas[(driver + 1) % 3].StartStreamAsync(disk);
        await fleet.Replicas[(driver + 2) % 3].WaitForStateAsync(disk, "completed");
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task The_hub_of_each_shows_what_any_drives_each_picture_once()
    {
        var fleet = await shared.StartedAsync();
        await using var domain = await fleet.StartDomainAsync("h2");
        var disk = ServiceProcess.DiskUrl(domain);
        var driver = await fleet.DriverOfAsync("h2");
        var id = (await fleet.Replicas[0].StatusAsync(disk)).GetProperty("domain").GetGuid();
        var hubs = new List<HubClient>();
        try
        {
            foreach (var replica in fleet.Replicas)
            {
                hubs.Add(await HubClient.ConnectAsync(replica));
                // Two subscriptions that mean the same stream.
                await hubs[^1].SubscribeAsync(new { host = "h2" });
                await hubs[^1].SubscribeAsync(new { domain = domain.Name });
            }
            await fleet.Replicas[(driver + 1) % 3].StartStreamAsync(disk, new { mode = "full", bandwidth = 8 << 20 });
            foreach (var hub in hubs)
            {
                var states = (await hub.StatesUntilAsync("completed", id)).Select(status => status.GetProperty("state").GetString()).ToList();
                Assert.Equal(["queued", "running", "finalizing", "completed"], states);
                var generations = hub.Messages.Where(status => status.GetProperty("domain").GetGuid() == id).Select(status => status.GetProperty("generation").GetInt64()).ToList();
                Assert.Equal(generations.Order().Distinct(), generations);
                Assert.NotEmpty(hub.Progress);
            }
        }
        finally
        {
            foreach (var hub in hubs)
                await hub.DisposeAsync();
        }
    }

    [Fact]
    public async Task Budgets_are_known_to_all_and_shared_by_what_each_has_at_work()
    {
        var fleet = await shared.StartedAsync();
        await using var here = await fleet.StartDomainAsync("h1", 48 << 20);
        await using var there = await fleet.StartDomainAsync("h3", 48 << 20);
        const long pace = 4 << 20;
        using var put = await fleet.Replicas[0].Http.PutAsJsonAsync("/budgets/all", new { scope = "service", bytesPerSecond = pace });
        Assert.Equal(HttpStatusCode.Created, put.StatusCode);
        try
        {
            foreach (var replica in fleet.Replicas)
                await Shell.WaitForAsync("the budget to be known", async () =>
                {
                    using var found = await replica.Http.GetAsync("/budgets/all");
                    return found.IsSuccessStatusCode;
                });
            await fleet.Replicas[1].StartStreamAsync(ServiceProcess.DiskUrl(here), new { mode = "full" });
            await fleet.Replicas[1].StartStreamAsync(ServiceProcess.DiskUrl(there), new { mode = "full" });
            await Shell.WaitForAsync("both to be counted everywhere", async () =>
                (await Task.WhenAll(fleet.Replicas.Select(replica => replica.Http.GetFromJsonAsync<JsonElement>("/budgets/all")))).All(budget => budget.GetProperty("streams").GetInt32() == 2));
            // From there on each has half of it, to within what a second's old news is worth.
            var before = await BytesAsync(fleet, here, there);
            var begun = TimeProvider.System.GetTimestamp();
            await Shell.WaitForAsync("12 MiB to come", async () => (await BytesAsync(fleet, here, there)).Sum() - before.Sum() > 12 << 20);
            var seconds = TimeProvider.System.GetElapsedTime(begun).TotalSeconds;
            var after = await BytesAsync(fleet, here, there);
            Assert.InRange((after.Sum() - before.Sum()) / seconds, pace * 0.7, pace * 1.3);
            Assert.InRange((double)(after[0] - before[0]) / (after.Sum() - before.Sum()), 0.35, 0.65);
        }
        finally
        {
            using var gone = await fleet.Replicas[2].Http.DeleteAsync("/budgets/all");
            Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);
        }
        await fleet.Replicas[0].WaitForStateAsync(ServiceProcess.DiskUrl(here), "completed");
        await fleet.Replicas[0].WaitForStateAsync(ServiceProcess.DiskUrl(there), "completed");
    }

    private static async Task<IReadOnlyList<long>> BytesAsync(ReplicaFleet fleet, params TestDomain[] domains) =>
        [.. (await Task.WhenAll(domains.Select(domain => fleet.Replicas[0].StatusAsync(ServiceProcess.DiskUrl(domain))))).Select(status => status.GetProperty("bytesStreamed").GetInt64())];
}

/// <summary>One fleet for all tests of a class that leave it as it is. Started on first use.</summary>
public sealed class SharedFleet : IAsyncDisposable
{
    private readonly Lazy<Task<ReplicaFleet>> _fleet = new(() => ReplicaFleet.StartAsync());

    internal Task<ReplicaFleet> StartedAsync() => _fleet.Value;

    public async ValueTask DisposeAsync()
    {
        if (_fleet is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
            await (await _fleet.Value).DisposeAsync();
    }
}
