using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Api;

/// <summary>Every code of the contract beside <c>invalid-request</c>, brought about for real and seen through HTTP.</summary>
public sealed class ProblemTests(SharedService shared, SeveralHosts severalHosts) : IClassFixture<SeveralHosts>
{
    private static readonly object Full = new { mode = "full" };

    [Fact]
    public async Task Domain_not_found()
    {
        var service = await shared.StartedAsync();
        foreach (var id in new[] { Guid.NewGuid().ToString(), "no-such-domain", "%2F", "disks", "a b", "00000000-0000-0000-0000-000000000000" })
        {
            foreach (var url in new[] { $"/domains/{id}", $"/domains/{id}/streams", $"/domains/{id}/disks/vda", $"/domains/{id}/disks/vda/status", $"/domains/{id}/disks/vda/map" })
                using (var answer = await service.Http.GetAsync(new Uri(url, UriKind.Relative)))
                    await Problem.AssertAsync(answer, 404, "domain-not-found");
            using (var answer = await service.Http.PostAsJsonAsync($"/domains/{id}/disks/vda/stream", Full))
                await Problem.AssertAsync(answer, 404, "domain-not-found");
            using (var answer = await service.Http.PatchAsJsonAsync($"/domains/{id}/disks/vda/stream", new { bandwidth = 1 }))
                await Problem.AssertAsync(answer, 404, "domain-not-found");
            using (var answer = await service.Http.DeleteAsync(new Uri($"/domains/{id}/disks/vda/stream", UriKind.Relative)))
                await Problem.AssertAsync(answer, 404, "domain-not-found");
        }
    }

    [Fact]
    public async Task Disk_not_found_and_stream_not_found()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        foreach (var path in new[] { "vdz", "VDA", "%2Fno%2Fsuch%2Fimage", Uri.EscapeDataString(domain.Disk + "x"), Uri.EscapeDataString(Uri.EscapeDataString(domain.Disk)) })
        {
            foreach (var url in new[] { "", "/map", "/status" })
                using (var answer = await service.Http.GetAsync(new Uri($"/domains/{domain.Id}/disks/{path}{url}", UriKind.Relative)))
                    await Problem.AssertAsync(answer, 404, "disk-not-found");
            using (var answer = await service.Http.PostAsJsonAsync($"/domains/{domain.Id}/disks/{path}/stream", Full))
                await Problem.AssertAsync(answer, 404, "disk-not-found");
        }

        using (var answer = await service.Http.PatchAsJsonAsync($"{ServiceProcess.DiskUrl(domain)}/stream", new { state = "paused" }))
            await Problem.AssertAsync(answer, 404, "stream-not-found");
        using (var answer = await service.Http.DeleteAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/stream", UriKind.Relative)))
            await Problem.AssertAsync(answer, 404, "stream-not-found");
        foreach (var id in new[] { Guid.NewGuid().ToString(), "no-stream" })
            using (var answer = await service.Http.GetAsync(new Uri($"/streams/{id}", UriKind.Relative)))
                await Problem.AssertAsync(answer, 404, "stream-not-found");
    }

    [Fact]
    public async Task Host_not_found()
    {
        var service = await shared.StartedAsync();
        foreach (var url in new[] { "/domains?host=nowhere", "/streams?host=nowhere" })
            using (var answer = await service.Http.GetAsync(new Uri(url, UriKind.Relative)))
                await Problem.AssertAsync(answer, 404, "host-not-found");
    }

    [Fact]
    public async Task Ambiguous_domain()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        // Running on both: no host's is the one that is meant, as in a migration it would be.
        foreach (var id in new[] { domain.Name, domain.Id.ToString() })
        {
            foreach (var url in new[] { "", "/streams", "/disks/vda", "/disks/vda/status" })
                using (var answer = await severalHosts.Service.Http.GetAsync(new Uri($"/domains/{id}{url}", UriKind.Relative)))
                {
                    var problem = await Problem.AssertAsync(answer, 409, "ambiguous-domain");
                    Assert.Contains("local, again", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
                }
            using (var answer = await severalHosts.Service.Http.PostAsJsonAsync($"/domains/{id}/disks/vda/stream", Full))
                await Problem.AssertAsync(answer, 409, "ambiguous-domain");
        }
    }

    [Fact]
    public async Task Host_unreachable()
    {
        var http = severalHosts.Service.Http;
        // A domain that nobody who answers has may be on the host that does not.
        foreach (var url in new[] { "/domains?host=dead", $"/domains/{Guid.NewGuid()}", "/domains/nobody/disks/vda/status" })
            using (var answer = await http.GetAsync(new Uri(url, UriKind.Relative)))
            {
                var problem = await Problem.AssertAsync(answer, 503, "host-unreachable");
                Assert.Contains("dead", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
                Assert.True(answer.Headers.RetryAfter?.Delta > TimeSpan.Zero);
            }

        var host = (await http.GetFromJsonAsync<JsonElement>("/hosts")).EnumerateArray().Single(host => host.GetProperty("name").GetString() == "dead");
        Assert.Equal("unreachable", host.GetProperty("state").GetString());
        Assert.Contains("nonexistent", host.GetProperty("lastError").GetString(), StringComparison.Ordinal);
        // The others go on, and the service is ready.
        using (var list = await http.GetAsync(new Uri("/domains", UriKind.Relative)))
            Assert.Equal(HttpStatusCode.OK, list.StatusCode);
        using (var ready = await http.GetAsync(new Uri("/readyz", UriKind.Relative)))
            Assert.Equal(HttpStatusCode.OK, ready.StatusCode);
    }

    [Fact]
    public async Task Stream_active_says_where_to_look()
    {
        await using var domain = await TestDomain.StartAsync();
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 4 << 20 });

        using (var answer = await service.StreamAsync(domain, Full))
        {
            var problem = await Problem.AssertAsync(answer, 409, "stream-active");
            var status = await service.Http.GetFromJsonAsync<JsonElement>(problem.GetProperty("statusUrl").GetString());
            Assert.Equal(domain.Id, status.GetProperty("domain").GetGuid());
            Assert.Contains(status.GetProperty("state").GetString(), (string[])["queued", "running"]);
        }

        await service.ChangeAsync(domain, new { state = "paused" });
        using (var answer = await service.StreamAsync(domain, Full))
            await Problem.AssertAsync(answer, 409, "stream-active");
    }

    [Fact]
    public async Task Stream_that_is_seen_to_be_over_is_active_no_more()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        for (var i = 0; i < 20; i++)
        {
            await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 64 << 10 });
            using (var cancelled = await service.Http.DeleteAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/stream", UriKind.Relative)))
                Assert.Equal(HttpStatusCode.Accepted, cancelled.StatusCode);
            await service.WaitForStateAsync(domain, "cancelled");
        }
    }

    [Fact]
    public async Task Domain_not_running()
    {
        // One that cannot be streamed without its QEMU either.
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false, spellOut: true);
        await domain.StopAsync();
        var service = await shared.StartedAsync();
        await Shell.WaitForAsync("the service to see the domain's end", async () =>
            (await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Id}")).GetProperty("state").GetString() == "shutOff");

        foreach (var body in new[] { Full, new { mode = "single", offset = 0 }, new { mode = "single", offset = 1L << 40 } })
            using (var answer = await service.StreamAsync(domain, body))
                await Problem.AssertAsync(answer, 409, "domain-not-running");
        using (var answer = await service.Http.GetAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/map", UriKind.Relative)))
            await Problem.AssertAsync(answer, 409, "domain-not-running");
    }

    [Fact]
    public async Task No_backing_image()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain);
        await service.WaitForStateAsync(domain, "completed");

        foreach (var body in new[] { Full, new { mode = "single" } })
            using (var answer = await service.StreamAsync(domain, body))
                await Problem.AssertAsync(answer, 409, "no-backing-image");
        var disk = await service.Http.GetFromJsonAsync<JsonElement>(ServiceProcess.DiskUrl(domain));
        Assert.False(disk.GetProperty("streamable").GetBoolean());
    }

    [Fact]
    public async Task Disk_read_only()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false, readOnlyDisk: true);
        var service = await shared.StartedAsync();
        foreach (var body in new[] { Full, new { mode = "single" } })
            using (var answer = await service.Http.PostAsJsonAsync($"/domains/{domain.Id}/disks/vdb/stream", body))
                await Problem.AssertAsync(answer, 409, "disk-read-only");
        var disk = await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Id}/disks/vdb");
        Assert.False(disk.GetProperty("streamable").GetBoolean());
        Assert.NotEmpty(disk.GetProperty("backingChain").EnumerateArray());
    }

    [Fact]
    public async Task Block_job_active()
    {
        await using var domain = await TestDomain.StartAsync(middle: false);
        var service = await shared.StartedAsync();
        await TestDomain.VirshAsync("blockpull", domain.Name, "vda", "--bandwidth", "1");

        using (var answer = await service.StreamAsync(domain, Full))
        {
            var problem = await Problem.AssertAsync(answer, 409, "block-job-active");
            Assert.Contains("'pull'", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        }

        await TestDomain.VirshAsync("blockjob", domain.Name, "vda", "--abort");
        await service.StartStreamAsync(domain);
        await service.WaitForStateAsync(domain, "completed");
    }

    [Fact]
    public async Task Base_not_in_chain()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20);
        var service = await shared.StartedAsync();
        foreach (var mode in new[] { "full", "single" })
            foreach (var image in new[] { "/no/such/image", domain.Disk, Path.GetFileName(domain.Chain[0]) })
                using (var answer = await service.StreamAsync(domain, new { mode, @base = image }))
                {
                    var problem = await Problem.AssertAsync(answer, 409, "base-not-in-chain");
                    Assert.Contains(domain.Chain[1], problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
                }
    }

    [Fact]
    public async Task Hypervisor_error_keeps_QEMUs_class_and_words()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        // QEMU has one NBD server.
        await domain.MonitorAsync("nbd-server-start", new { addr = new { type = "inet", data = new { host = "127.0.0.1", port = "0" } } });

        using (var answer = await service.StreamAsync(domain, new { mode = "single" }))
            AssertRefused(await Problem.AssertAsync(answer, 502, "hypervisor-error"));
        using (var answer = await service.Http.GetAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/map", UriKind.Relative)))
            AssertRefused(await Problem.AssertAsync(answer, 502, "hypervisor-error"));
        await service.StartStreamAsync(domain, new { mode = "full", engine = "pipelined", onError = "report" });
        var failed = await service.WaitForStateAsync(domain, "failed");
        var error = failed.GetProperty("error");
        Assert.Equal("hypervisor-error", error.GetProperty("code").GetString());
        Assert.EndsWith(":hypervisor-error", error.GetProperty("type").GetString(), StringComparison.Ordinal);

        // Whoever has it keeps it.
        await domain.MonitorAsync("nbd-server-stop");
        await service.StartStreamAsync(domain);
        await service.WaitForStateAsync(domain, "completed");

        static void AssertRefused(JsonElement problem)
        {
            Assert.Equal("GenericError", problem.GetProperty("errorClass").GetString());
            Assert.Contains("already running", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Idempotency_conflict()
    {
        await using var domain = await TestDomain.StartAsync(middle: false);
        await using var other = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var key = $"key {Guid.NewGuid()}";
        using (var first = await Problem.PostWithKeyAsync(service.Http, $"{ServiceProcess.DiskUrl(domain)}/stream", key, new { mode = "full", bandwidth = 4 << 20 }))
            Assert.Equal(HttpStatusCode.Accepted, first.StatusCode);

        using (var answer = await Problem.PostWithKeyAsync(service.Http, $"{ServiceProcess.DiskUrl(domain)}/stream", key, new { mode = "full", bandwidth = 5 << 20 }))
            await Problem.AssertAsync(answer, 409, "idempotency-conflict");
        using (var answer = await Problem.PostWithKeyAsync(service.Http, $"{ServiceProcess.DiskUrl(other)}/stream", key, new { mode = "full", bandwidth = 4 << 20 }))
            await Problem.AssertAsync(answer, 409, "idempotency-conflict");
        Assert.Equal("idle", (await service.StatusAsync(other)).GetProperty("state").GetString());
    }
}

/// <summary>A service with three hosts: the local one, the same under another name, and one that cannot be reached.</summary>
public sealed class SeveralHosts : IAsyncLifetime
{
    internal ServiceProcess Service { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        Service = await ServiceProcess.StartAsync(new()
        {
            ["StreamService__Hosts__1__Name"] = "again",
            ["StreamService__Hosts__1__Uri"] = "qemu:///system",
            ["StreamService__Hosts__2__Name"] = "dead",
            ["StreamService__Hosts__2__Uri"] = "qemu+unix:///system?socket=/nonexistent/libvirt-sock",
        });
        await Shell.WaitForAsync("both local hosts to be connected, and the third to have failed", async () =>
        {
            var hosts = (await Service.Http.GetFromJsonAsync<JsonElement>("/hosts")).EnumerateArray().ToList();
            return hosts.Count(host => host.GetProperty("state").GetString() == "connected") == 2
                && hosts[2].GetProperty("lastError").GetString()!.Contains("nonexistent", StringComparison.Ordinal);
        });
    }

    public ValueTask DisposeAsync() => Service?.DisposeAsync() ?? ValueTask.CompletedTask;
}
