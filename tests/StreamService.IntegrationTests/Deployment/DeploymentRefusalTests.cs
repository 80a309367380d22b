using System.Net;
using System.Net.Http.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>What POST /domains and DELETE /domains/{id} refuse, and that nothing is left of what fails half way.</summary>
[Trait("Category", "Slow")]
public sealed class DeploymentRefusalTests
{
    [Fact]
    public async Task Domain_that_somebody_else_made_is_not_deleted()
    {
        await using var site = await DeploymentSite.StartAsync();
        await using var domain = await TestDomain.StartAsync();
        using var answer = await site.Http.DeleteAsync($"/domains/{domain.Id}?storage=true");
        await Problem.AssertAsync(answer, 409, "domain-not-deployed");
        Assert.True(await DeploymentSite.ExistsAsync(domain.Name));
        Assert.True(File.Exists(domain.Disk));
    }

    [Fact]
    public async Task Name_is_given_once_even_to_two_who_ask_at_once()
    {
        await using var site = await DeploymentSite.StartAsync();
        var name = site.NewName();
        var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => site.PostAsync(name)));
        Assert.Single(answers, answer => answer.StatusCode == HttpStatusCode.Created);
        foreach (var answer in answers.Where(answer => answer.StatusCode != HttpStatusCode.Created))
            await Problem.AssertAsync(answer, 409, "domain-exists");
        Assert.Single(Directory.GetFiles(site.Overlays));
    }

    [Fact]
    public async Task Disk_without_room_is_refused_beforehand()
    {
        await using var site = await DeploymentSite.StartAsync(overlaySpace: "size=8m");
        var name = site.NewName();
        using var answer = await site.PostAsync(name);
        var problem = await Problem.AssertAsync(answer, 507, "insufficient-storage");
        Assert.Contains($"{DeploymentSite.Size} bytes", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        await site.AssertNothingLeftAsync(name);
    }

    [Fact]
    public async Task File_system_that_is_full_in_the_middle_leaves_nothing_behind()
    {
        // Space enough, and not one more file.
        await using var site = await DeploymentSite.StartAsync(overlaySpace: "size=64m,nr_inodes=1");
        var name = site.NewName();
        using var answer = await site.PostAsync(name);
        await Problem.AssertAsync(answer, 507, "insufficient-storage");
        await site.AssertNothingLeftAsync(name);
        await Shell.RunAsync("mount", "-o", "remount,nr_inodes=100", site.Overlays);
        using var second = await site.PostAsync(name);
        Assert.Equal(HttpStatusCode.Created, second.StatusCode);
    }

    [Fact]
    public async Task Domain_that_cannot_start_leaves_nothing_behind()
    {
        await using var site = await DeploymentSite.StartAsync();
        var name = site.NewName();
        // 16 TiB, which no QEMU gets here.
        using var answer = await site.PostAsync(name, new { memoryMiB = 16 << 20, stream = new { mode = "full" } });
        await Problem.AssertAsync(answer, 502, "hypervisor-error");
        await site.AssertNothingLeftAsync(name);
        using var second = await site.PostAsync(name);
        Assert.Equal(HttpStatusCode.Created, second.StatusCode);
    }

    [Fact]
    public async Task Stream_waits_where_the_space_is_used_up_by_others_and_goes_on()
    {
        await using var site = await DeploymentSite.StartAsync(overlaySpace: "size=24m", settings: new() { ["StreamService__Streaming__RetryDelay"] = "00:00:00.2" });
        var domain = await site.DeployAsync(new { stream = new { mode = "full", bandwidth = 1 << 20 } });
        var filler = Path.Combine(site.Overlays, "filler");
        await Shell.RunAsync("sh", "-c", $"dd if=/dev/zero of={filler} bs=64k 2>/dev/null || true");
        var waiting = await domain.WaitForStateAsync("waiting");
        Assert.Contains("No space", waiting.GetProperty("reason").GetString(), StringComparison.Ordinal);
        File.Delete(filler);
        using (await site.Http.PatchAsJsonAsync($"{domain.DiskUrl}/stream", new { bandwidth = 0 }))
            await domain.WaitForStateAsync("completed");
        await domain.StopAsync();
        await domain.AssertEqualsAsync(site.Base);
    }

    [Fact]
    public async Task Every_fault_of_a_request_is_named()
    {
        await using var site = await DeploymentSite.StartAsync();
        using (var nothing = await site.Http.PostAsJsonAsync("/domains", new { }))
            await Problem.AssertInvalidAsync(nothing, "name", "host", "image", "format", "memoryMiB", "vcpus");
        var faulty = DeploymentSite.Request("a b", new
        {
            image = "central/../base.raw",
            format = "raw",
            memoryMiB = 0,
            vcpus = 5000,
            size = 1000,
            domainXml = "",
            stream = new { mode = "single", @base = "/x", bandwidth = -1 },
            network = "default",
        });
        using (var many = await site.Http.PostAsJsonAsync("/domains", faulty))
            await Problem.AssertInvalidAsync(many, "name", "image", "format", "memoryMiB", "vcpus", "size", "domainXml", "stream.mode", "stream.base", "stream.bandwidth", "network");
        using (var host = await site.PostAsync(site.NewName(), new { host = "elsewhere" }))
            await Problem.AssertAsync(host, 404, "host-not-found");
        using (var monitors = await site.PostAsync(site.NewName(), new { host = "monitors" }))
            await Problem.AssertInvalidAsync(monitors, "host");
        using (var image = await site.PostAsync(site.NewName(), new { image = "central/other.raw" }))
            await Problem.AssertAsync(image, 404, "image-not-found");
        using (var repository = await site.PostAsync(site.NewName(), new { image = "other/base.raw" }))
            await Problem.AssertAsync(repository, 404, "image-not-found");
        using (var small = await site.PostAsync(site.NewName(), new { size = 1 << 20 }))
            await Problem.AssertInvalidAsync(small, "size");
        using (var template = await site.PostAsync(site.NewName(), new { domainXml = "<domain><os><kernel>/etc/shadow</kernel></os><seclabel type='none'/></domain>" }))
            Assert.Equal(2, (await Problem.AssertInvalidAsync(template, "domainXml")).GetProperty("errors").GetProperty("domainXml").GetArrayLength());
        Assert.Empty(Directory.GetFiles(site.Overlays));
    }

    [Fact]
    public async Task Hostile_names_are_refused()
    {
        await using var site = await DeploymentSite.StartAsync();
        string[] domains =
        [
            "a</name><devices><disk/></devices><name>",
            "a'/><x",
            "a&lt;b",
            "a\u0000b",
            "a\nb",
            "{id}",
            "../../etc/passwd",
            "/etc/passwd",
            "-rf",
            ".hidden",
            "",
            "json:{}",
            "ａ",
        ];
        foreach (var name in domains)
            using (var answer = await site.PostAsync(name))
                await Problem.AssertInvalidAsync(answer, "name");
        string[] images =
        [
            "central/..",
            "central/../images/base.raw",
            "central//etc/passwd",
            "central/%2e%2e%2fbase.raw",
            "central/..%2Fbase.raw",
            "central/base.raw\u0000.qcow2",
            "central/json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}",
            "central/nbd:unix:/x",
            "central/fat:rw:x",
            "central/base.raw,backing.file=x",
            "central/-o",
            "central\\base.raw",
            "/etc/passwd",
            "central/",
            "/base.raw",
            "base.raw",
            "",
        ];
        foreach (var image in images)
            using (var answer = await site.PostAsync(site.NewName(), new { image }))
                await Problem.AssertInvalidAsync(answer, "image");
        Assert.Empty(Directory.GetFiles(site.Overlays));
    }

    [Fact]
    public async Task Image_that_leads_out_of_its_repository_is_refused()
    {
        await using var site = await DeploymentSite.StartAsync();
        var secret = Path.Combine(site.Folder, "secret.raw");
        File.Copy(site.Base, secret);
        File.CreateSymbolicLink(Path.Combine(site.Images, "link.raw"), secret);
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", Path.Combine(site.Images, "backed.qcow2"));
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", $"json:{{\"driver\":\"raw\",\"file\":{{\"driver\":\"file\",\"filename\":\"{secret}\"}}}}", "-F", "raw",
            Path.Combine(site.Images, "json.qcow2"), "16M");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-o", $"data_file={Path.Combine(site.Folder, "data")}", Path.Combine(site.Images, "data.qcow2"), "16M");
        foreach (var name in new[] { "link.raw", "backed.qcow2", "json.qcow2", "data.qcow2" })
        {
            using var answer = await site.PostAsync(site.NewName(), new { image = $"central/{name}" });
            await Problem.AssertAsync(answer, 409, "image-refused");
        }
        Assert.Empty(Directory.GetFiles(site.Overlays));
    }
}
