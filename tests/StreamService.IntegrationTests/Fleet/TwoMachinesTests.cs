using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Api;
using StreamService.IntegrationTests.Harness;
using StreamService.IntegrationTests.Migrations;

namespace StreamService.IntegrationTests.Fleet;

/// <summary>Two libvirt hosts, each a machine as far as it can tell, with a replica on each and a third beside the first; callers have keys.</summary>
[Trait("Category", "Slow")]
[Collection(MigratingHosts.Name)]
public sealed class TwoMachinesTests(SharedTwoHosts shared)
{
    private const int Near1 = 0, Near2 = 1, Far = 2;

    [Fact]
    public async Task Each_machines_replica_drives_it_another_takes_over_when_it_stands_still_and_gives_it_back()
    {
        await using var site = await Site.StartAsync(await shared.StartedAsync());
        Assert.Equal(("near1", "near2"), await site.DriversAsync(Far));
        await using var here = await MigratingGuest.StartAsync(site.Hosts, host: 1, backing: true);
        await using var there = await MigratingGuest.StartAsync(site.Hosts, host: 2, backing: true);
        await using var hub = await HubClient.ConnectAsync(site.Replicas[Far]);
        await hub.SubscribeAsync(new { });
        string[] disks = [ServiceProcess.DiskUrl(here), ServiceProcess.DiskUrl(there)];
        foreach (var disk in disks)
        {
            await site.Replicas[Far].StartStreamAsync(disk, new { mode = "full", engine = "pipelined", bandwidth = 2 << 20 });
            await site.Replicas[Far].WaitForAsync(disk, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 1 << 20);
        }

        // It stands still, its connections stay: to the database, to libvirt, into the guest's QEMU.
        await site.Replicas[Near2].FreezeAsync();
        await Shell.WaitForAsync($"h2 to be taken over. The logs: {site.LogText}", async () => (await site.DriversAsync(Far)).H2 is "near1" or "far", TimeSpan.FromSeconds(20));
        await site.Replicas[Far].WaitForAsync(disks[1], "progress from afar", status => status.GetProperty("state").GetString() == "running" && status.GetProperty("bytesPerSecond").GetInt64() > 0);
        await site.Replicas[Near2].ThawAsync();
        await Shell.WaitForAsync($"h2 to be near2's again. The logs: {site.LogText}", async () => await site.DriversAsync(Far) == ("near1", "near2"));
        foreach (var disk in disks)
        {
            await site.Replicas[Near1].WaitForAsync(disk, "it to go on", status => status.GetProperty("state").GetString() == "running");
            await site.Replicas[Near1].HurryAsync(disk);
            await site.Replicas[Near1].WaitForStateAsync(disk, "completed");
        }
        await hub.StatesUntilAsync("completed", there.Id);
        foreach (var (guest, host) in new[] { (here, 1), (there, 2) })
        {
            await guest.StopAsync(host);
            Assert.Null(await guest.BackingFileAsync(host));
            Assert.True(await guest.ContentEqualsAsync(host));
        }
    }

    [Fact]
    public async Task Migration_is_driven_by_the_sources_replica_which_has_the_destination_for_as_long_as_it_takes()
    {
        Requires.Program("qemu-nbd");
        await using var site = await Site.StartAsync(await shared.StartedAsync());
        await using var guest = await MigratingGuest.StartAsync(site.Hosts);
        using var begun = await site.Replicas[Far].Http.PostAsJsonAsync($"/domains/{guest.Name}/migrations", new { destination = "h2" });
        Assert.True(begun.IsSuccessStatusCode, $"{await begun.Content.ReadAsStringAsync()}\n{site.LogText}");
        var migration = await begun.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(("near1", "near1"), await site.DriversAsync(Near2));
        await Shell.WaitForAsync($"the migration to end. The logs: {site.LogText}", async () =>
        {
            migration = await site.Replicas[Near2].Http.GetFromJsonAsync<JsonElement>(MigrationSite.Url(migration));
            Assert.False(MigrationSite.State(migration) is "failed" or "cancelled", migration.ToString());
            return MigrationSite.State(migration) == "completed";
        }, TimeSpan.FromMinutes(2));
        await Shell.WaitForAsync("h2 to be near2's again", async () => await site.DriversAsync(Far) == ("near1", "near2"));
        var found = await site.Replicas[Near1].Http.GetFromJsonAsync<JsonElement>($"/domains/{guest.Name}");
        Assert.Equal(("h2", "running"), (found.GetProperty("host").GetString(), found.GetProperty("state").GetString()));
        await guest.StopAsync(2);
        Assert.True(await guest.ContentEqualsAsync(2));
    }

    /// <summary>The replicas.</summary>
    private sealed class Site : IAsyncDisposable
    {
        private readonly PostgresServer _postgres;
        private readonly RedisServer _redis;

        private Site(TwoHosts hosts, PostgresServer postgres, RedisServer redis) => (Hosts, _postgres, _redis) = (hosts, postgres, redis);

        public TwoHosts Hosts { get; }

        public List<ServiceProcess> Replicas { get; } = [];

        public string LogText => string.Join("\n\n", Replicas.Select(replica => replica.LogText));

        public static async Task<Site> StartAsync(TwoHosts hosts)
        {
            var site = new Site(hosts, await PostgresServer.StartAsync(), await RedisServer.StartAsync());
            try
            {
                var database = await site._postgres.CreateDatabaseAsync();
                foreach (var (name, host, port) in new[] { ("near1", 1, 5081), ("near2", 2, 5081), ("far", 1, 5082) })
                {
                    var settings = PostgresServer.Settings(site._postgres.SocketConnectionString(database));
                    settings["StreamService__Redis"] = site._redis.SocketConnectionString;
                    settings["StreamService__Fleet__Name"] = name;
                    settings["StreamService__Hosts__0__Uri"] = name == "near1" ? "qemu:///system" : "qemu+tcp://h1/system";
                    settings["StreamService__Hosts__1__Uri"] = name == "near2" ? "qemu:///system" : "qemu+tcp://h2/system";
                    settings["StreamService__Hosts__0__MigrationAddress"] = "10.77.0.1";
                    settings["StreamService__Hosts__1__MigrationAddress"] = "10.77.0.2";
                    site.Replicas.Add(await ServiceProcess.StartAsync(settings, hosts, guarded: true, alsoAt: string.Create(CultureInfo.InvariantCulture, $"http://10.77.0.{host}:{port}"), host: host));
                }
                await Shell.WaitForAsync($"each to have its host. The logs: {site.LogText}", async () => await site.DriversAsync(Far) == ("near1", "near2"));
                return site;
            }
            catch
            {
                await site.DisposeAsync();
                throw;
            }
        }

        public async Task<(string? H1, string? H2)> DriversAsync(int asked)
        {
            var hosts = (await Replicas[asked].Http.GetFromJsonAsync<JsonElement>("/hosts")).EnumerateArray()
                .Select(host => host.GetProperty("state").GetString() == "connected" ? host.GetProperty("driver").GetString() : null).ToList();
            return (hosts[0], hosts[1]);
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var replica in Replicas)
                await replica.DisposeAsync();
            await _redis.DisposeAsync();
            await _postgres.DisposeAsync();
        }
    }
}
