using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Migrations;

/// <summary>
/// One fault at every step boundary in turn: as soon as the service's log tells that a step begins. Whatever it is, in the end
/// exactly one host has the domain, whole and running, and the migration's own story tells which.
/// </summary>
[Trait("Category", "Slow")]
public sealed class MigrationFaultTests(SharedTwoHosts shared) : IClassFixture<SharedTwoHosts>
{
    private static readonly string[] Steps = ["Snapshot", "Export", "PrepareDestination", "Migrate", "Stream", "Verify", "Release"];

    private static readonly string[] Faults = ["service", "qemu-nbd", "libvirtd", "link"];

    public static TheoryData<string, string> Table
    {
        get
        {
            var table = new TheoryData<string, string>();
            foreach (var fault in Faults)
                // Before the exports are there is no qemu-nbd to kill.
                foreach (var step in Steps.Skip(fault == "qemu-nbd" ? 2 : 0))
                    table.Add(fault, step);
            return table;
        }
    }

    [Theory]
    [MemberData(nameof(Table))]
    public async Task One_host_has_the_domain_in_the_end(string fault, string step)
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await RecordingGuest.StartAsync(site.Hosts);
        var reached = site.Service.WhenLoggedAsync($"step {step}, attempt 1");
        var migration = await site.BeginAsync(guest.Name, new { destination = "h2", verify = true, stream = new { mode = "full", policy = "fixed", bandwidth = 32 << 20 } });
        await reached;

        await MakeAsync(fault, site, migration);

        var end = await site.WaitForEndAsync(migration);
        await AssertWholeAsync(site, guest, end);
        AssertStory(fault, step, end);
    }

    private static async Task MakeAsync(string fault, MigrationSite site, JsonElement migration)
    {
        switch (fault)
        {
            case "service":
                await site.Service.KillAsync();
                await site.Service.StartAgainAsync();
                break;
            case "qemu-nbd":
                foreach (var process in await MigrationSite.ExportsAsync(migration))
                    await Shell.RunAsync("sh", "-c", $"kill -KILL {process} || true");
                break;
            case "libvirtd":
                await site.Hosts.KillLibvirtdAsync(2);
                await Task.Delay(TimeSpan.FromSeconds(2));
                await site.Hosts.StartLibvirtdAsync(2);
                break;
            case "link":
                await site.Hosts.LinkAsync(2, up: false);
                await Task.Delay(TimeSpan.FromSeconds(10));
                await site.Hosts.LinkAsync(2, up: true);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(fault), fault, "No such fault.");
        }
    }

    /// <summary>The story says where the domain is; there it is, and only there, with every record, and nothing else is left.</summary>
    private static async Task AssertWholeAsync(MigrationSite site, RecordingGuest guest, JsonElement end)
    {
        var moved = MigrationSite.State(end) == "completed";
        Assert.Equal(moved, end.GetProperty("switchedAt").ValueKind != JsonValueKind.Null);
        await guest.AssertGoesOnAsync(moved ? 2 : 1);
        await site.AssertNoExportsAsync(end);
        if (!moved)
        {
            Assert.False(File.Exists(Path.Combine(site.Hosts.Srv(2), $"{guest.Name}.qcow2")), $"The destination's file is left: {end}");
            Assert.Equal([$"{guest.Name}.qcow2"], Directory.GetFiles(site.Hosts.Srv(1), $"{guest.Name}*.qcow2").Select(Path.GetFileName));
            foreach (var which in new[] { "--inactive", "--migratable" })
                Assert.Contains($"<source file='{guest.Disk}'", await site.Hosts.VirshAsync(1, "dumpxml", guest.Name, which), StringComparison.Ordinal);
        }
        await guest.AssertRecordsAsync(moved ? 2 : 1);
    }

    private static void AssertStory(string fault, string step, JsonElement end)
    {
        var state = MigrationSite.State(end);
        var steps = MigrationSite.Steps(end);
        var afterSwitch = step is "Stream" or "Verify" or "Release";
        // Nothing but a host that is away can end a migration, and that only before the switch.
        if (afterSwitch || fault is "service" or "qemu-nbd")
            Assert.Equal("completed", state);
        if (state == "completed")
        {
            Assert.All(steps, one => Assert.Equal("done", one.Value));
            Assert.Equal(JsonValueKind.Null, end.GetProperty("error").ValueKind);
        }
        else
        {
            Assert.Equal("failed", state);
            Assert.NotEmpty(end.GetProperty("error").GetProperty("detail").GetString()!);
            Assert.DoesNotContain("running", steps.Values);
            Assert.Equal("pending", steps["stream"]);
        }
        if (fault == "service")
            Assert.True(MigrationSite.Step(end, char.ToLowerInvariant(step[0]) + step[1..]).GetProperty("attempts").GetInt32() >= 2, end.ToString());
        if (fault == "qemu-nbd" && step is "Migrate" or "Stream")
            Assert.Contains("started again", MigrationSite.Step(end, "export").GetProperty("detail").GetString(), StringComparison.Ordinal);
    }
}
