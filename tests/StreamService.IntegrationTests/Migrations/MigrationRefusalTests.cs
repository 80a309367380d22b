using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Migrations;

/// <summary>What cannot migrate is refused before anything was changed, with every reason at once.</summary>
[Collection(MigratingHosts.Name)]
[Trait("Category", "Slow")]
public sealed class MigrationRefusalTests(SharedTwoHosts shared)
{
    [Fact]
    public async Task Every_reason_is_told_at_once_and_nothing_is_changed()
    {
        // The name and a file are taken there, the medium of a drive that does not move is missing, and a disk is shared with nobody there.
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, secondDisk: true, cdrom: true, shareable: true);
        await File.WriteAllTextAsync(site.OnHost(2, guest.Disk()), "somebody else's");
        await site.Hosts.DefineAsync(2, guest.Name, TestDomain.Definition(guest.Name, "/srv/other.qcow2", "qcow2").ToString());
        var before = await site.PictureAsync(guest.Name);

        using var answer = await site.PostAsync(guest.Name, new { destination = "h2" });

        // The name alone would be ambiguous: both hosts have it.
        await Problem.AssertAsync(answer, 409, "ambiguous-domain");
        using var refused = await site.PostAsync(guest.Id.ToString(), new { destination = "h2" });
        var problem = await Problem.AssertAsync(refused, 409, "migration-refused");
        var errors = problem.GetProperty("errors");
        Assert.Contains(guest.Name, errors.GetProperty("destination")[0].GetString(), StringComparison.Ordinal);
        Assert.Contains("exists on h2 already", errors.GetProperty("disks.vda")[0].GetString(), StringComparison.Ordinal);
        Assert.Contains("is not there on h2", errors.GetProperty("disks.sda")[0].GetString(), StringComparison.Ordinal);
        Assert.Contains("no file system that other hosts have", errors.GetProperty("disks.vdc")[0].GetString(), StringComparison.Ordinal);
        Assert.Equal(4, errors.EnumerateObject().Count());
        Assert.Equal(before, await site.PictureAsync(guest.Name));
        Assert.Empty((await site.Http.GetFromJsonAsync<JsonElement>("/migrations")).GetProperty("items").EnumerateArray());
    }

    [Fact]
    public async Task No_folder_no_space_no_way()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true);
        var before = await site.PictureAsync(guest.Name);

        using (var missing = await site.PostAsync(guest.Name, new { destination = "h2", folder = "/srv/missing" }))
            Assert.Contains("/srv/missing", Errors(await Problem.AssertAsync(missing, 409, "migration-refused"), "folder"), StringComparison.Ordinal);

        await site.Hosts.ExecAsync(2, "sh", "-c", "mkdir /srv/small && mount -t tmpfs -o size=4M tmpfs /srv/small");
        try
        {
            // libvirtd has a mount namespace of its own: the one that the script made for the host.
            using var small = await site.PostAsync(guest.Name, new { destination = "h2", folder = "/srv/small" });
            Assert.Contains("bytes free", Errors(await Problem.AssertAsync(small, 409, "migration-refused"), "space"), StringComparison.Ordinal);
        }
        finally
        {
            await site.Hosts.ExecAsync(2, "sh", "-c", "umount /srv/small; rmdir /srv/small");
        }
        Assert.Equal(before, await site.PictureAsync(guest.Name));
    }

    [Fact]
    public async Task An_export_that_the_destination_cannot_reach_is_found_beforehand()
    {
        // An address at which the destination finds itself, not the source.
        await using var site = await MigrationSite.StartAsync(shared, new() { ["StreamService__Hosts__0__MigrationAddress"] = "127.0.0.1" });
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true);
        var before = await site.PictureAsync(guest.Name);

        using var answer = await site.PostAsync(guest.Name, new { destination = "h2" });

        Assert.Contains("127.0.0.1", Errors(await Problem.AssertAsync(answer, 409, "migration-refused"), "export"), StringComparison.Ordinal);
        Assert.Equal(before, await site.PictureAsync(guest.Name));
    }

    [Fact]
    public async Task A_machine_that_the_destination_does_not_know_is_told()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true);
        // The destination's emulator is gone.
        await site.Hosts.ExecAsync(2, "sh", "-c", "mount --bind /dev/null /usr/bin/qemu-system-x86_64");
        try
        {
            using var answer = await site.PostAsync(guest.Name, new { destination = "h2" });
            Assert.Contains("cannot run such a domain", Errors(await Problem.AssertAsync(answer, 409, "migration-refused"), "destination"), StringComparison.Ordinal);
        }
        finally
        {
            await site.Hosts.ExecAsync(2, "umount", "/usr/bin/qemu-system-x86_64");
        }
    }

    [Fact]
    public async Task Bad_destinations_and_bad_requests()
    {
        await using var site = await MigrationSite.StartAsync(shared, new()
        {
            ["StreamService__Hosts__2__Name"] = "monitors",
            ["StreamService__Hosts__2__Uri"] = "qmp+unix:///srv/*.sock",
        });
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true);

        using (var unknown = await site.PostAsync(guest.Name, new { destination = "h9" }))
            await Problem.AssertAsync(unknown, 404, "host-not-found");
        using (var same = await site.PostAsync(guest.Name, new { destination = "h1" }))
            Assert.Contains("already", Errors(await Problem.AssertAsync(same, 409, "migration-refused"), "destination"), StringComparison.Ordinal);
        using (var monitors = await site.PostAsync(guest.Name, new { destination = "monitors" }))
            Assert.Contains("libvirt", Errors(await Problem.AssertAsync(monitors, 409, "migration-refused"), "destination"), StringComparison.Ordinal);
        using (var nobody = await site.PostAsync("nobody", new { destination = "h2" }))
            await Problem.AssertAsync(nobody, 404, "domain-not-found");
        using (var none = await site.PostAsync(guest.Name, new { stream = new { mode = "single", @base = "/x" }, folder = "srv/../x", verify = true }))
            await Problem.AssertInvalidAsync(none, "destination", "stream.mode", "stream.base", "folder");
        using (var wrong = await site.PostAsync(guest.Name, new { destination = "h2", format = "vmdk", speed = 1 }))
            await Problem.AssertAsync(wrong, 400, "invalid-request");
        using (var unknown = await site.Http.GetAsync("/migrations/no-such"))
            await Problem.AssertAsync(unknown, 404, "migration-not-found");
        using (var unknown = await site.Http.DeleteAsync($"/migrations/{Guid.NewGuid()}"))
            await Problem.AssertAsync(unknown, 404, "migration-not-found");

        await guest.StopAsync(1);
        using (var off = await site.PostAsync(guest.Name, new { destination = "h2" }))
            await Problem.AssertAsync(off, 409, "domain-not-running");
    }

    [Fact]
    public async Task A_disk_that_is_being_streamed_stays()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true);
        using (var begun = await site.Http.PostAsJsonAsync($"/domains/{guest.Name}/disks/vda/stream", new { mode = "full", policy = "fixed", bandwidth = 65536 }))
            Assert.True(begun.IsSuccessStatusCode);
        using var answer = await site.PostAsync(guest.Name, new { destination = "h2" });
        await Problem.AssertAsync(answer, 409, "stream-active");
    }

    [Fact]
    public async Task A_destination_that_is_away_is_told()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true);
        await site.Hosts.KillLibvirtdAsync(2);
        try
        {
            await Shell.WaitForAsync("h2 to be missed", async () =>
                (await site.Http.GetFromJsonAsync<JsonElement>("/hosts"))[1].GetProperty("state").GetString() == "unreachable");
            using var answer = await site.PostAsync(guest.Name, new { destination = "h2" });
            await Problem.AssertAsync(answer, 503, "host-unreachable");
        }
        finally
        {
            await site.Hosts.StartLibvirtdAsync(2);
        }
    }

    private static string Errors(JsonElement problem, string part) =>
        string.Join(' ', problem.GetProperty("errors").GetProperty(part).EnumerateArray().Select(error => error.GetString()));
}
