using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Api;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Fleet;

/// <summary>Replicas that die, stand still and come back: their hosts are driven on by others, and every stream ends once.</summary>
[Trait("Category", "Slow")]
public sealed class TakeoverTests(ITestOutputHelper output)
{
    private const long Pace = 1 << 20;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task Hosts_of_a_replica_that_was_killed_are_taken_over_within_ten_seconds_and_every_stream_ends_once()
    {
        await using var fleet = await ReplicaFleet.StartAsync();
        var domains = new List<TestDomain>();
        try
        {
            foreach (var host in fleet.Hosts)
                domains.AddRange([await fleet.StartDomainAsync(host), await fleet.StartDomainAsync(host)]);
            var victim = await fleet.DriverOfAsync("h1");
            var (watcher, other) = (fleet.Replicas[(victim + 1) % 3], fleet.Replicas[(victim + 2) % 3]);
            await using var hub = await HubClient.ConnectAsync(watcher);
            await hub.SubscribeAsync(new { });
            foreach (var domain in domains)
                await other.StartStreamAsync(ServiceProcess.DiskUrl(domain), new { mode = "full", bandwidth = Pace });
            foreach (var domain in domains)
                await other.WaitForAsync(ServiceProcess.DiskUrl(domain), "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 0);

            await fleet.Replicas[victim].KillAsync();
            var killed = TimeProvider.System.GetTimestamp();
            // Until somebody drives it, callers are told so, and when to come back.
            using (var refused = await other.Http.GetAsync(ServiceProcess.DiskUrl(domains[0])))
            {
                Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
                Assert.NotNull(refused.Headers.RetryAfter);
                Assert.Contains("host-unreachable", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
            }
            await Shell.WaitForAsync($"h1 to be taken over. The logs: {fleet.LogText}", async () => await fleet.DriversAsync() is var drivers
                && drivers.GetValueOrDefault("h1") is { } driver && driver != ReplicaFleet.NameOf(victim));
            var taken = TimeProvider.System.GetElapsedTime(killed);
            output.WriteLine($"taken over after {taken.TotalSeconds:0.0} s");
            Assert.InRange(taken, TimeSpan.Zero, TimeSpan.FromSeconds(10));

            foreach (var domain in domains)
                await other.HurryAsync(ServiceProcess.DiskUrl(domain));
            foreach (var domain in domains)
                await other.WaitForStateAsync(ServiceProcess.DiskUrl(domain), "completed", Patience);
            await AssertToldOnceAsync(hub, domains, watcher);

            // Once it is back it gets its share again.
            await fleet.Replicas[victim].StartAgainAsync();
            await fleet.WaitUntilSpreadAsync();
            await AssertIntactAsync(domains);
        }
        finally
        {
            foreach (var domain in domains)
                await domain.DisposeAsync();
        }
    }

    [Fact]
    public async Task Replica_that_stood_still_does_no_harm_when_it_wakes()
    {
        await using var fleet = await ReplicaFleet.StartAsync(replicas: 2, hosts: 2);
        await using var domain = await fleet.StartDomainAsync("h1", 32 << 20);
        var sleeper = await fleet.DriverOfAsync("h1");
        var other = fleet.Replicas[1 - sleeper];
        var disk = ServiceProcess.DiskUrl(domain);
        await using var hub = await HubClient.ConnectAsync(other);
        await hub.SubscribeAsync(new { });
        await other.StartStreamAsync(disk, new { mode = "full", bandwidth = Pace });
        await other.WaitForAsync(disk, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 0);

        await fleet.Replicas[sleeper].FreezeAsync();
        var frozen = TimeProvider.System.GetTimestamp();
        await Shell.WaitForAsync("h1 to be taken over", async () => (await fleet.DriversAsync(1 - sleeper)).GetValueOrDefault("h1") == ReplicaFleet.NameOf(1 - sleeper));
        output.WriteLine($"taken over after {TimeProvider.System.GetElapsedTime(frozen).TotalSeconds:0.0} s");
        // The monitor serves one client, and the sleeper has it still.
        var before = await other.WaitForAsync(disk, "its new driver to wait", status => status.GetProperty("state").GetString() == "waiting", Patience);
        Assert.Contains("Another client holds the monitor", before.GetProperty("reason").GetString(), StringComparison.Ordinal);
        var lost = fleet.Replicas[sleeper].WhenLoggedAsync("Does not drive host h1 any more");
        await fleet.Replicas[sleeper].ThawAsync();
        await lost;

        // The stream goes on where it is, and the one that woke knows whom to ask.
        await other.WaitForAsync(disk, "further progress", status => status.GetProperty("bytesStreamed").GetInt64() > before.GetProperty("bytesStreamed").GetInt64() + Pace && status.GetProperty("bytesPerSecond").GetInt64() > 0, Patience);
        await Shell.WaitForAsync("the sleeper to answer", async () =>
        {
            using var answer = await fleet.Replicas[sleeper].Http.GetAsync($"{disk}/status");
            return answer.IsSuccessStatusCode;
        });
        await fleet.Replicas[sleeper].HurryAsync(disk);
        await other.WaitForStateAsync(disk, "completed", Patience);
        await AssertToldOnceAsync(hub, [domain], other);
        await AssertIntactAsync([domain]);
    }

    [Fact]
    public async Task PostgreSQL_and_Redis_are_restarted_in_mid_stream_and_nothing_is_lost()
    {
        await using var fleet = await ReplicaFleet.StartAsync(replicas: 2, hosts: 2);
        await using var slow = await fleet.StartDomainAsync("h1", 48 << 20);
        await using var quick = await fleet.StartDomainAsync("h1", 16 << 20);
        var driver = await fleet.DriverOfAsync("h1");
        var other = fleet.Replicas[1 - driver];
        var (disk, quickDisk) = (ServiceProcess.DiskUrl(slow), ServiceProcess.DiskUrl(quick));
        await using var hub = await HubClient.ConnectAsync(other);
        await hub.SubscribeAsync(new { });
        await other.StartStreamAsync(disk, new { mode = "full", bandwidth = Pace });
        await other.StartStreamAsync(quickDisk, new { mode = "full", bandwidth = Pace });
        await WaitForProgressAsync(fleet.Replicas[driver], disk, 1 << 20);

        // A restart is ridden out: nobody loses a host.
        await fleet.Postgres.StopAsync();
        await fleet.Postgres.StartAgainAsync();
        await WaitForProgressAsync(fleet.Replicas[driver], disk, 3 << 20);
        Assert.DoesNotContain("Does not drive", fleet.LogText, StringComparison.Ordinal);

        // What ends while Redis is away is told once it is back.
        await fleet.Redis.KillAsync();
        await fleet.Replicas[driver].HurryAsync(quickDisk);
        await fleet.Replicas[driver].WaitForStateAsync(quickDisk, "completed");
        Assert.DoesNotContain(hub.Messages, status => status.GetProperty("domainName").GetString() == quick.Name && status.GetProperty("state").GetString() == "completed");
        await fleet.Redis.StartAgainAsync();
        await Shell.WaitForAsync("the end to be told", () => Task.FromResult(
            hub.Messages.Any(status => status.GetProperty("domainName").GetString() == quick.Name && status.GetProperty("state").GetString() == "completed")));
        var told = hub.Progress.Count;
        await Shell.WaitForAsync("progress to be told again", () => Task.FromResult(hub.Progress.Count > told + 2));

        // Away for longer than anybody may drive without it: streams rest, and go on by themselves.
        var lost = fleet.Replicas[driver].WhenLoggedAsync("Does not drive host h1 any more");
        await fleet.Postgres.KillAsync();
        await lost;
        await fleet.Postgres.StartAgainAsync();
        await Shell.WaitForAsync($"h1 to be driven. The logs: {fleet.LogText}", async () => (await fleet.DriversAsync()).GetValueOrDefault("h1") is not null);
        await other.HurryAsync(disk);
        await other.WaitForStateAsync(disk, "completed", Patience);
        await AssertToldOnceAsync(hub, [slow, quick], other);
        await AssertIntactAsync([slow, quick]);
    }

    private static Task<JsonElement> WaitForProgressAsync(ServiceProcess replica, string disk, long bytes) =>
        replica.WaitForAsync(disk, $"{bytes} bytes", status => status.GetProperty("bytesStreamed").GetInt64() >= bytes);

    /// <summary>Each stream was told of as completed, and after that of nothing else; what was told later is later.</summary>
    private static async Task AssertToldOnceAsync(HubClient hub, IEnumerable<TestDomain> domains, ServiceProcess asked)
    {
        foreach (var domain in domains)
        {
            List<JsonElement> Told() => [.. hub.Messages.Where(status => status.GetProperty("domainName").GetString() == domain.Name)];
            await Shell.WaitForAsync($"the end of {domain.Name} to be told", () => Task.FromResult(Told().Any(status => status.GetProperty("state").GetString() == "completed")));
            // By generation, as every client goes by it: what is told twice is told twice the same.
            var told = Told().DistinctBy(status => status.GetProperty("generation").GetInt64()).ToList();
            Assert.Equal("completed", told.MaxBy(status => status.GetProperty("generation").GetInt64()).GetProperty("state").GetString());
            Assert.Single(told, status => status.GetProperty("state").GetString() == "completed");
            var streams = (await asked.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Key}/streams")).GetProperty("items").EnumerateArray().ToList();
            Assert.Equal("completed", Assert.Single(streams).GetProperty("state").GetString());
        }
    }

    private static async Task AssertIntactAsync(IEnumerable<TestDomain> domains)
    {
        foreach (var domain in domains)
        {
            await domain.StopAsync();
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertIntactAsync();
        }
    }
}
