using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Api;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Migrations;

/// <summary>Domains that move between two real libvirt site.Hosts.</summary>
[Collection(MigratingHosts.Name)]
[Trait("Category", "Slow")]
public sealed class MigrationTests(SharedTwoHosts shared)
{
    [Fact]
    public async Task A_guest_moves_and_loses_nothing()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await RecordingGuest.StartAsync(site.Hosts);
        await site.Hosts.VirshAsync(1, "autostart", guest.Name);

        var migration = await site.BeginAsync(guest.Name, new { destination = "h2", verify = true, stream = new { mode = "full", policy = "fixed" } });
        migration = await site.WaitForStateAsync(migration, "completed");

        Assert.All(MigrationSite.Steps(migration), step => Assert.Equal("done", step.Value));
        var disk = migration.GetProperty("disks")[0];
        Assert.Equal(0, disk.GetProperty("bytesRemaining").GetInt64());
        Assert.Equal(disk.GetProperty("size").GetInt64(), disk.GetProperty("bytesVerified").GetInt64() + disk.GetProperty("bytesOverwritten").GetInt64());
        Assert.True(disk.GetProperty("bytesVerified").GetInt64() > disk.GetProperty("size").GetInt64() / 2);
        Assert.Equal(JsonValueKind.Null, disk.GetProperty("export").ValueKind);
        Assert.True(migration.GetProperty("memory").GetProperty("total").GetInt64() >= 128 << 20);
        await site.AssertNoExportsAsync(migration);
        await guest.AssertGoesOnAsync(2);
        Assert.Null(await site.Hosts.StateAsync(1, guest.Name));
        Assert.Contains("Autostart:      enable", await site.Hosts.VirshAsync(2, "dominfo", guest.Name), StringComparison.Ordinal);
        foreach (var which in new[] { "--inactive", "--migratable" })
            Assert.DoesNotContain("nbd", await site.Hosts.VirshAsync(2, "dumpxml", guest.Name, which), StringComparison.Ordinal);

        // Nobody but the service itself has been given a pool on the destination.
        Assert.Empty((await site.Hosts.VirshAsync(2, "pool-list", "--all", "--name")).Trim());
        await guest.AssertRecordsAsync(2);
        Assert.DoesNotContain("backing file", await Shell.RunAsync("qemu-img", "info", site.OnHost(2, guest.Disk)), StringComparison.Ordinal);

        // What is left on the source goes on request, and only that.
        var left = migration.GetProperty("leftOnSource").EnumerateArray().Select(file => file.GetString()!).ToList();
        Assert.Equal(2, left.Count);
        Assert.Contains(guest.Disk, left);
        Assert.All(left, file => Assert.True(File.Exists(site.OnHost(1, file))));
        using (var refused = await site.Http.DeleteAsync(MigrationSite.Url(migration)))
            await Problem.AssertAsync(refused, 409, "migration-past");
        using (var deleted = await site.Http.DeleteAsync(MigrationSite.Url(migration) + "?storage=true"))
            Assert.Equal(HttpStatusCode.Accepted, deleted.StatusCode);
        Assert.All(left, file => Assert.False(File.Exists(site.OnHost(1, file))));
        Assert.Empty((await site.GetAsync(migration)).GetProperty("leftOnSource").EnumerateArray());
    }

    [Theory]
    [InlineData("qcow2", false)]
    [InlineData("qed", true)]
    public async Task All_disks_move_that_have_to(string format, bool copyOnRead)
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true, secondDisk: true, cdrom: true, copyOnRead: copyOnRead);
        // What the guest cannot write does not move: it must be there.
        File.Copy(site.OnHost(1, guest.Disk("sda")), site.OnHost(2, guest.Disk("sda")));
        await guest.GuestWriteAsync(1, 0x11, 65536 * 3, 65536);
        var folder = $"/srv/{guest.Name}-new";
        await site.Hosts.ExecAsync(2, "mkdir", folder);

        var migration = await site.BeginAsync(guest.Name, new { destination = "h2", verify = true, format, folder });
        migration = await site.WaitForStateAsync(migration, "completed");

        Assert.Equal(["vda", "vdb"], migration.GetProperty("disks").EnumerateArray().Select(disk => disk.GetProperty("target").GetString()));
        await site.AssertNoExportsAsync(migration);
        // What the guest writes from now on is its own.
        await guest.GuestWriteAsync(2, 0x22, 65536 * 7, 4096);
        Assert.Contains(guest.Disk("sda"), await site.Hosts.VirshAsync(2, "dumpxml", guest.Name), StringComparison.Ordinal);
        await guest.StopAsync(2);
        foreach (var target in new[] { "vda", "vdb" })
        {
            var file = $"{folder}/{Path.GetFileName(guest.Disk(target))}";
            Assert.True(await guest.ContentEqualsAsync(2, target, file), $"{target} is not what it must be.");
            var info = JsonDocument.Parse(await site.Hosts.ExecAsync(2, "qemu-img", "info", "--output=json", file)).RootElement;
            Assert.Equal(format, info.GetProperty("format").GetString());
            Assert.False(info.TryGetProperty("backing-filename", out _));
        }
    }

    [Theory]
    [InlineData("Snapshot")]
    [InlineData("PrepareDestination")]
    [InlineData("Migrate")]
    public async Task Cancelled_before_the_switch_it_is_as_it_was(string step)
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await RecordingGuest.StartAsync(site.Hosts);
        var before = await site.Hosts.VirshAsync(1, "dumpxml", guest.Name, "--inactive");
        var reached = site.Service.WhenLoggedAsync($"step {step}, attempt 1");

        var migration = await site.BeginAsync(guest.Name);
        await reached;
        using (var cancelled = await site.Http.DeleteAsync(MigrationSite.Url(migration)))
            Assert.Equal(HttpStatusCode.Accepted, cancelled.StatusCode);
        migration = await site.WaitForStateAsync(migration, "cancelled");

        Assert.Equal(JsonValueKind.Null, migration.GetProperty("switchedAt").ValueKind);
        Assert.DoesNotContain(MigrationSite.Steps(migration), other => other.Value is "running" or "failed" || (other.Value == "done" && other.Key != "preflight"));
        Assert.Equal(before, await site.Hosts.VirshAsync(1, "dumpxml", guest.Name, "--inactive"));
        Assert.Equal([$"{guest.Name}.qcow2"], Directory.GetFiles(site.Hosts.Srv(1), $"{guest.Name}*.qcow2").Select(Path.GetFileName));
        Assert.Empty(Directory.GetFiles(site.Hosts.Srv(2), $"{guest.Name}*.qcow2"));
        Assert.Null(await site.Hosts.StateAsync(2, guest.Name));
        await site.AssertNoExportsAsync(migration);
        await guest.AssertGoesOnAsync(1);
        using (var again = await site.Http.DeleteAsync(MigrationSite.Url(migration)))
            await Problem.AssertAsync(again, 409, "migration-past");

        // What was undone can be done again.
        migration = await site.WaitForStateAsync(await site.BeginAsync(guest.Name), "completed");
        Assert.Equal("skipped", MigrationSite.Steps(migration)["verify"]);
        await guest.AssertGoesOnAsync(2);
        await guest.AssertRecordsAsync(2);
    }

    [Fact]
    public async Task While_it_moves_the_domain_is_one_and_nobody_else_may_change_it()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await RecordingGuest.StartAsync(site.Hosts);
        await using var hub = await HubClient.ConnectAsync(site.Service);
        Assert.Empty(await hub.SubscribeMigrationsAsync(new { domain = guest.Name }));
        var moving = site.Service.WhenLoggedAsync("step Migrate, attempt 1");
        var switched = site.Service.WhenLoggedAsync("step Stream, attempt 1");

        using var first = await Problem.PostWithKeyAsync(site.Http, $"/domains/{guest.Name}/migrations", "once", new { destination = "h2", stream = new { mode = "full", policy = "fixed", bandwidth = 8 << 20 } });
        Assert.Equal(HttpStatusCode.Accepted, first.StatusCode);
        var migration = JsonDocument.Parse(await first.Content.ReadAsStringAsync()).RootElement;
        await moving;
        using (var second = await site.PostAsync(guest.Name, new { destination = "h2" }))
            Assert.Equal(MigrationSite.Url(migration), (await Problem.AssertAsync(second, 409, "migration-active")).GetProperty("statusUrl").GetString());
        using (var stream = await site.Http.PostAsJsonAsync($"/domains/{guest.Name}/disks/vda/stream", new { mode = "full" }))
            await Problem.AssertAsync(stream, 409, "migration-active");
        using (var remove = await site.Http.DeleteAsync($"/domains/{guest.Name}"))
            await Problem.AssertAsync(remove, 409, "migration-active");
        // Under way it is found all the time, quickly, and once only.
        while (!switched.IsCompleted)
        {
            var domain = await site.Http.GetFromJsonAsync<JsonElement>($"/domains/{guest.Name}");
            Assert.Equal(guest.Name, domain.GetProperty("name").GetString());
        }
        await switched;
        using (var late = await site.Http.DeleteAsync(MigrationSite.Url(migration)))
            Assert.Contains("no way back", (await Problem.AssertAsync(late, 409, "migration-past")).GetProperty("detail").GetString(), StringComparison.Ordinal);
        using (var files = await site.Http.DeleteAsync(MigrationSite.Url(migration) + "?storage=true"))
            await Problem.AssertAsync(files, 409, "migration-past");

        // The stream that it began is a stream like any other; cancelled, it is begun again.
        await Shell.WaitForAsync("the stream", async () => (await StreamAsync()).GetProperty("state").GetString() == "running");
        var stopped = (await StreamAsync()).GetProperty("streamId").GetString();
        using (var cancelled = await site.Http.DeleteAsync($"/domains/{guest.Name}/disks/vda/stream"))
            Assert.Equal(HttpStatusCode.Accepted, cancelled.StatusCode);
        migration = await site.WaitForStateAsync(migration, "completed");
        Assert.NotEqual(stopped, (await StreamAsync()).GetProperty("streamId").GetString());

        using (var again = await Problem.PostWithKeyAsync(site.Http, $"/domains/{guest.Name}/migrations", "once", new { destination = "h2", stream = new { mode = "full", policy = "fixed", bandwidth = 8 << 20 } }))
            Assert.Equal(migration.GetProperty("migrationId").GetString(), JsonDocument.Parse(await again.Content.ReadAsStringAsync()).RootElement.GetProperty("migrationId").GetString());
        var listed = (await site.Http.GetFromJsonAsync<JsonElement>($"/migrations?state=completed&host=h2&domain={guest.Name}")).GetProperty("items");
        Assert.Equal(migration.GetProperty("migrationId").GetString(), Assert.Single(listed.EnumerateArray()).GetProperty("migrationId").GetString());
        Assert.Empty((await site.Http.GetFromJsonAsync<JsonElement>("/migrations?state=failed")).GetProperty("items").EnumerateArray());

        // The hub told the same story: every step, in order, and generations that rise.
        await Shell.WaitForAsync("the hub's last word", () => Task.FromResult(hub.Migrations.Any(told => MigrationSite.State(told) == "completed")));
        var story = hub.Migrations.ToList();
        Assert.Equal(story.Select(told => told.GetProperty("generation").GetInt64()).Order(), story.Select(told => told.GetProperty("generation").GetInt64()));
        Assert.Equal(
            ["preflight", "snapshot", "export", "prepareDestination", "migrate", "stream", "verify", "release"],
            story.Select(told => told.GetProperty("step").GetString()!).Distinct());

        Task<JsonElement> StreamAsync() => site.Http.GetFromJsonAsync<JsonElement>($"/domains/{guest.Name}/disks/vda/status");
    }

    [Fact]
    public async Task With_certificates_nothing_goes_over_the_network_in_the_clear()
    {
        var hosts = await shared.StartedAsync();
        await hosts.UseCertificatesAsync();
        await using var site = await MigrationSite.StartAsync(shared, new() { ["StreamService__Migration__Tls__Folder"] = hosts.MakeCertificates() });
        await using var guest = await MigratingGuest.StartAsync(hosts, backing: true);
        var streaming = site.Service.WhenLoggedAsync("step Stream, attempt 1");

        var migration = await site.BeginAsync(guest.Name, new { destination = "h2", verify = true, stream = new { mode = "full", policy = "fixed", bandwidth = 8 << 20 } });
        await streaming;
        // Whoever has no certificate is not even told the export's name.
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => hosts.ExecAsync(2, "qemu-nbd", "--list", "--bind=10.77.0.1", "--port=10810"));
        Assert.Contains("TLS", refused.Message, StringComparison.OrdinalIgnoreCase);
        await site.WaitForStateAsync(migration, "completed");

        Assert.Contains("\"tls-creds\"", await File.ReadAllTextAsync(Path.Combine(hosts.Folder, "h2", "log", "qemu", $"{guest.Name}.log")), StringComparison.Ordinal);
        await guest.StopAsync(2);
        Assert.True(await guest.ContentEqualsAsync(2));
    }
}
