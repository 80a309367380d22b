using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Xml.Linq;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>POST /domains and DELETE /domains/{id} on real libvirt: what is made, and what is left when it is removed.</summary>
[Trait("Category", "Slow")]
public sealed class DeploymentTests
{
    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    public async Task Domain_runs_from_the_image_and_becomes_independent_of_it(string format)
    {
        await using var site = await DeploymentSite.StartAsync();
        var hash = await Shell.RunAsync("sha256sum", site.Base);

        var domain = await site.DeployAsync(new { format, stream = new { mode = "full" } });

        Assert.Equal("running", domain.Domain.GetProperty("state").GetString());
        Assert.Equal(domain.Name, domain.Domain.GetProperty("name").GetString());
        Assert.Equal(format, domain.Disk.GetProperty("format").GetString());
        Assert.Equal(DeploymentSite.Size, domain.Disk.GetProperty("size").GetInt64());
        Assert.StartsWith(site.Overlays + "/", domain.Overlay, StringComparison.Ordinal);
        var xml = XDocument.Parse(await TestDomain.VirshAsync("dumpxml", domain.Name));
        Assert.Equal("on", (string?)xml.Descendants("disk").Single().Element("driver")!.Attribute("copy_on_read"));
        await domain.GuestAsync("write -P 0xaa 1M 64k");
        var status = await domain.WaitForStateAsync("completed");
        Assert.True(status.GetProperty("bytesStreamed").GetInt64() > 0);

        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        var expected = Path.Combine(site.Folder, "expected.raw");
        File.Copy(site.Base, expected);
        await Shell.RunAsync("qemu-io", "-f", "raw", "-c", "write -P 0xaa 1M 64k", expected);
        await domain.AssertEqualsAsync(expected);
        Assert.Equal(hash, await Shell.RunAsync("sha256sum", site.Base));

        using var deleted = await domain.DeleteAsync();
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        await site.AssertNothingLeftAsync(domain.Name);
        using var gone = await site.Http.GetAsync($"/domains/{domain.Id}");
        await Problem.AssertAsync(gone, 404, "domain-not-found");
        Assert.True(File.Exists(site.Base));
    }

    [Fact]
    public async Task Image_may_have_a_backing_image_in_the_repository_and_the_disk_may_be_larger()
    {
        await using var site = await DeploymentSite.StartAsync();
        var image = Path.Combine(site.Images, "web.qcow2");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", image);
        await Shell.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 7 3M 1M", image);
        var expected = Path.Combine(site.Folder, "expected.raw");
        await Shell.RunAsync("qemu-img", "convert", "-O", "raw", image, expected);
        await Shell.RunAsync("qemu-img", "resize", "-q", "-f", "raw", expected, "24M");

        var domain = await site.DeployAsync(new { image = "central/web.qcow2", size = 24 << 20, stream = new { mode = "full", order = "hotFirst" } });

        Assert.Equal(24 << 20, domain.Disk.GetProperty("size").GetInt64());
        Assert.Equal([image, site.Base], domain.Disk.GetProperty("backingChain").EnumerateArray().Select(layer => layer.GetProperty("source").GetString()!));
        await domain.WaitForStateAsync("completed");
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertEqualsAsync(expected);
    }

    [Fact]
    public async Task Image_of_an_NBD_server_is_deployed()
    {
        NbdkitServer? server = null;
        await using var site = await DeploymentSite.StartAsync(async site =>
        {
            server = new NbdkitServer(site.Folder, site.Base);
            await server.StartAsync();
            return server.Uri;
        });
        await using (server)
        {
            var domain = await site.DeployAsync(new { image = "central/default", stream = new { mode = "full" } });
            await domain.WaitForStateAsync("completed");
            await domain.StopAsync();
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertEqualsAsync(site.Base);
        }
    }

    [Fact]
    public async Task Image_of_a_web_server_is_deployed()
    {
        ImageWebServer? server = null;
        await using var site = await DeploymentSite.StartAsync(async site => (server = await ImageWebServer.StartAsync(site.Images)).Address + "store", DeploymentSite.Learning);
        await using (server)
        {
            var domain = await site.DeployAsync(new { stream = new { mode = "full", order = "hotFirst" } });
            await domain.WaitForStateAsync("completed");
            await domain.StopAsync();
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertEqualsAsync(site.Base);
            Assert.Equal(1, (await site.Http.GetFromJsonAsync<JsonElement>("/images/central/base.raw/profile")).GetProperty("deployments").GetInt32());
        }
    }

    [Fact]
    public async Task One_export_of_an_NBD_server_can_be_a_repository_by_itself()
    {
        NbdkitServer? server = null;
        await using var site = await DeploymentSite.StartAsync(async site =>
        {
            server = new NbdkitServer(site.Folder, site.Base);
            await server.StartAsync();
            return $"nbd+unix:///golden?socket={server.Socket}";
        });
        await using (server)
        {
            var listed = await site.Http.GetFromJsonAsync<JsonElement>("/images");
            Assert.Equal("golden", Assert.Single(listed.GetProperty("items").EnumerateArray()).GetProperty("name").GetString());
            await site.DeployAsync(new { image = "central/golden" });
            using var other = await site.PostAsync(site.NewName(), new { image = "central/default" });
            await Problem.AssertAsync(other, 404, "image-not-found");
        }
    }

    [Fact]
    public async Task Overlay_stays_unless_the_caller_says_otherwise()
    {
        await using var site = await DeploymentSite.StartAsync();
        var domain = await site.DeployAsync();
        Assert.Equal("idle", (await domain.StatusAsync()).GetProperty("state").GetString());

        using var deleted = await site.Http.DeleteAsync($"/domains/{domain.Name}");

        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        Assert.False(await DeploymentSite.ExistsAsync(domain.Name));
        Assert.Equal(site.Base, await domain.BackingFileAsync());
    }

    [Fact]
    public async Task Image_tells_who_uses_it_and_whether_somebody_changed_it_since()
    {
        await using var site = await DeploymentSite.StartAsync();
        var domain = await site.DeployAsync();
        Assert.False((await UserAsync()).GetProperty("imageChanged").GetBoolean());
        File.SetLastWriteTimeUtc(site.Base, DateTime.UnixEpoch);
        Assert.True((await UserAsync()).GetProperty("imageChanged").GetBoolean());

        async Task<JsonElement> UserAsync()
        {
            var user = Assert.Single((await site.Http.GetFromJsonAsync<JsonElement>("/images/central/base.raw")).GetProperty("users").EnumerateArray());
            Assert.Equal(domain.Id, user.GetProperty("domain").GetGuid());
            return user;
        }
    }

    [Fact]
    public async Task Domain_that_somebody_else_removed_can_still_be_deleted()
    {
        await using var site = await DeploymentSite.StartAsync();
        var domain = await site.DeployAsync();
        await TestDomain.VirshAsync("destroy", domain.Name);
        await TestDomain.VirshAsync("undefine", domain.Name);

        using var deleted = await domain.DeleteAsync();
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        await site.AssertNothingLeftAsync(domain.Name);
        using var again = await domain.DeleteAsync();
        await Problem.AssertAsync(again, 404, "domain-not-found");
    }

    [Fact]
    public async Task Same_idempotency_key_deploys_once()
    {
        await using var site = await DeploymentSite.StartAsync();
        var request = DeploymentSite.Request(site.NewName());
        var answers = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Problem.PostWithKeyAsync(site.Http, "/domains", "deploy-1", request)));
        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.Created, answer.StatusCode));
        Assert.Single((await Task.WhenAll(answers.Select(answer => answer.Content.ReadFromJsonAsync<JsonElement>()))).Select(domain => domain.GetProperty("id").GetString()).Distinct());
        Assert.Single(Directory.GetFiles(site.Overlays));
        request["memoryMiB"] = 48;
        using var other = await Problem.PostWithKeyAsync(site.Http, "/domains", "deploy-1", request);
        await Problem.AssertAsync(other, 409, "idempotency-conflict");
    }
}
