using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Api;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>A domain on another machine, whose QEMU exports its disks over TCP.</summary>
[Trait("Category", "Slow")]
public sealed class RemoteHostTests(SharedTwoHosts shared) : IClassFixture<SharedTwoHosts>
{
    private static readonly object Pipelined = new { mode = "full", engine = "pipelined" };

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    public async Task Steps_a_map_and_a_whole_stream_are_as_on_this_machine_and_the_server_is_given_back(string format)
    {
        var hosts = await shared.StartedAsync();
        await using var domain = await MigratingGuest.StartAsync(hosts, host: 2, format: format, backing: true);
        await using var service = await ServiceProcess.StartAsync(hosts: hosts);
        await using var hub = await HubClient.ConnectAsync(service);
        await hub.SubscribeAsync(new { host = "h2" });
        var disk = ServiceProcess.DiskUrl(domain);
        var found = await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Id}");
        Assert.Equal("h2", found.GetProperty("host").GetString());
        Assert.True(found.GetProperty("disks")[0].GetProperty("streamable").GetBoolean());

        using var stepped = await service.Http.PostAsJsonAsync($"{disk}/stream", new { mode = "single", offset = 0, length = 512 });
        Assert.Equal(64 << 10, (await stepped.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("populated").GetInt32());
        // The hole, a quarter of the disk, needs nothing; 1 MiB and the step's cluster are in the overlay.
        var map = await service.Http.GetFromJsonAsync<JsonElement>($"{disk}/map?buckets=1");
        Assert.InRange(map.GetProperty("buckets")[0].GetDouble(), 0.26, 0.27);

        await service.StartStreamAsync(disk, Pipelined);
        await domain.GuestWriteAsync(2, 0x5a, 1 << 20, 1 << 20);
        await service.WaitForStateAsync(disk, "completed");
        await hub.StatesUntilAsync("completed");

        await WaitForServerToGoAsync(hosts, domain);
        await AssertIndependentAsync(domain);
    }

    [Fact]
    public async Task Stream_goes_on_after_the_service_was_killed()
    {
        var hosts = await shared.StartedAsync();
        await using var domain = await MigratingGuest.StartAsync(hosts, host: 2, backing: true);
        await using var service = await ServiceProcess.StartAsync(hosts: hosts);
        var disk = ServiceProcess.DiskUrl(domain);
        var begun = await service.StartStreamAsync(disk, new { mode = "full", engine = "pipelined", bandwidth = 16 << 20 });
        await service.WaitForAsync(disk, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);

        await service.KillAsync();
        await service.StartAgainAsync();

        await service.HurryAsync(disk);
        var completed = await service.WaitForStateAsync(disk, "completed");
        Assert.Equal(begun.GetProperty("streamId").GetString(), completed.GetProperty("streamId").GetString());
        await WaitForServerToGoAsync(hosts, domain);
        await AssertIndependentAsync(domain);
    }

    [Fact]
    public async Task A_server_without_exports_that_a_killed_service_left_is_replaced_and_a_port_in_use_is_passed_over()
    {
        var hosts = await shared.StartedAsync();
        await using var domain = await MigratingGuest.StartAsync(hosts, host: 2, backing: true);
        await using var other = await MigratingGuest.StartAsync(hosts, host: 2, backing: true);
        await StartServerAsync(hosts, domain, 10811);
        await StartServerAsync(hosts, other, 10810);
        await hosts.MonitorAsync(2, other.Name, "block-export-add", new Dictionary<string, object>
        {
            ["type"] = "nbd",
            ["id"] = "somebody",
            ["node-name"] = await NodeAsync(hosts, other),
        });
        await using var service = await ServiceProcess.StartAsync(hosts: hosts);

        await service.StartStreamAsync(ServiceProcess.DiskUrl(domain), Pipelined);
        await service.WaitForStateAsync(ServiceProcess.DiskUrl(domain), "completed");

        // Of somebody else's the service keeps off.
        await service.StartStreamAsync(ServiceProcess.DiskUrl(other), Pipelined);
        await service.WaitForStateAsync(ServiceProcess.DiskUrl(other), "waiting");
        Assert.Equal(1, (await hosts.MonitorAsync(2, other.Name, "query-block-exports")).GetArrayLength());
    }

    [Fact]
    public async Task Two_disks_share_one_server()
    {
        var hosts = await shared.StartedAsync();
        await using var domain = await MigratingGuest.StartAsync(hosts, host: 2, backing: true, secondDisk: true);
        await using var service = await ServiceProcess.StartAsync(hosts: hosts);
        string[] targets = ["vda", "vdb"];

        foreach (var target in targets)
            await service.StartStreamAsync(ServiceProcess.DiskUrl(domain, target), Pipelined);
        foreach (var target in targets)
            await service.WaitForStateAsync(ServiceProcess.DiskUrl(domain, target), "completed");

        await WaitForServerToGoAsync(hosts, domain);
        await AssertIndependentAsync(domain, targets);
    }

    [Fact]
    public async Task Stream_that_lost_the_other_host_goes_on_once_it_is_back()
    {
        var hosts = await shared.StartedAsync();
        await using var domain = await MigratingGuest.StartAsync(hosts, host: 2, backing: true);
        await using var service = await ServiceProcess.StartAsync(hosts: hosts);
        var disk = ServiceProcess.DiskUrl(domain);
        await service.StartStreamAsync(disk, new { mode = "full", engine = "pipelined", bandwidth = 8 << 20 });
        await service.WaitForAsync(disk, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);

        await hosts.LinkAsync(2, up: false);
        try
        {
            await service.WaitForStateAsync(disk, "waiting");
        }
        finally
        {
            await hosts.LinkAsync(2, up: true);
        }

        await service.WaitForStateAsync(disk, "completed", TimeSpan.FromMinutes(3));
        await AssertIndependentAsync(domain);
    }

    [Fact]
    public async Task With_certificates_the_export_is_encrypted_and_closed_to_others()
    {
        var hosts = await shared.StartedAsync();
        await using var domain = await MigratingGuest.StartAsync(hosts, host: 2, backing: true);
        var folder = hosts.MakeCertificates();
        await using var service = await ServiceProcess.StartAsync(new() { ["StreamService__Migration__Tls__Folder"] = folder }, hosts);
        var disk = ServiceProcess.DiskUrl(domain);

        await service.StartStreamAsync(disk, new { mode = "full", engine = "pipelined", bandwidth = 8 << 20 });
        await service.WaitForAsync(disk, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 1 << 20);
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => hosts.ExecAsync(1, "qemu-nbd", "--list", "--bind=10.77.0.2", "--port=10810"));
        Assert.Contains("TLS", refused.Message, StringComparison.OrdinalIgnoreCase);

        await service.HurryAsync(disk);
        await service.WaitForStateAsync(disk, "completed");
        await WaitForServerToGoAsync(hosts, domain);
        var objects = await hosts.MonitorAsync(2, domain.Name, "qom-list", new { path = "/objects" });
        Assert.DoesNotContain("streamservice-tls", objects.ToString(), StringComparison.Ordinal);
        await AssertIndependentAsync(domain);
    }

    [Fact]
    public async Task While_a_domain_migrates_the_hosts_answer_at_once_and_the_one_that_runs_is_meant()
    {
        var hosts = await shared.StartedAsync();
        await using var domain = await MigratingGuest.StartAsync(hosts);
        await using var service = await ServiceProcess.StartAsync(hosts: hosts);
        await hosts.ExecAsync(2, "qemu-img", "create", "-q", "-f", "qcow2", domain.Disk(), "64M");
        // 48 MiB at 8 MiB/s.
        var migration = hosts.VirshAsync(1, "migrate", "--live", "--p2p", "--persistent", "--undefinesource", "--copy-storage-all", "--bandwidth", "8",
            domain.Name, TwoHosts.UriOf(2));
        try
        {
            JsonElement there = default;
            await Shell.WaitForAsync("the domain to be on h2, too", async () =>
            {
                var list = await service.Http.GetFromJsonAsync<JsonElement>("/domains?host=h2").WaitAsync(TimeSpan.FromSeconds(2));
                there = list.GetProperty("items").EnumerateArray().FirstOrDefault(item => item.GetProperty("id").GetGuid() == domain.Id);
                return there.ValueKind == JsonValueKind.Object;
            });
            Assert.Equal("paused", there.GetProperty("state").GetString());
            Assert.False(there.GetProperty("disks")[0].GetProperty("streamable").GetBoolean());
            var found = await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Id}").WaitAsync(TimeSpan.FromSeconds(2));
            Assert.Equal(("h1", "running"), (found.GetProperty("host").GetString(), found.GetProperty("state").GetString()));
            Assert.False(migration.IsCompleted);
        }
        finally
        {
            await migration;
        }
        var after = await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Id}");
        Assert.Equal(("h2", "running", 64 << 20),
            (after.GetProperty("host").GetString(), after.GetProperty("state").GetString(), after.GetProperty("disks")[0].GetProperty("size").GetInt32()));
        await domain.StopAsync(2);
        Assert.True(await domain.ContentEqualsAsync(2));
    }

    private static async Task AssertIndependentAsync(MigratingGuest domain, params string[] targets)
    {
        await domain.StopAsync(2);
        foreach (var target in targets.DefaultIfEmpty("vda"))
        {
            Assert.Null(await domain.BackingFileAsync(2, target));
            Assert.True(await domain.ContentEqualsAsync(2, target), $"{target} is not what it must be.");
        }
    }

    /// <summary>Nothing in the domain's QEMU listens any more.</summary>
    private static Task WaitForServerToGoAsync(TwoHosts hosts, MigratingGuest domain) => Shell.WaitForAsync("the NBD server to be given back", async () =>
    {
        var qemu = File.ReadAllText(Path.Combine(hosts.Folder, "h2", "run", "qemu", $"{domain.Name}.pid")).Trim();
        return !(await hosts.ExecAsync(2, "ss", "--no-header", "--tcp", "--listening", "--processes", "--numeric")).Contains($"pid={qemu},", StringComparison.Ordinal);
    });

    private static Task<JsonElement> StartServerAsync(TwoHosts hosts, MigratingGuest domain, int port) => hosts.MonitorAsync(2, domain.Name, "nbd-server-start", new
    {
        addr = new { type = "inet", data = new { host = "10.77.0.2", port = $"{port}" } },
    });

    private static async Task<string> NodeAsync(TwoHosts hosts, MigratingGuest domain) =>
        (await hosts.MonitorAsync(2, domain.Name, "query-block"))[0].GetProperty("inserted").GetProperty("node-name").GetString()!;
}
