using System.Diagnostics;
using System.Net;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>The hypervisor's own job does the work: asked for, or because the disk cannot be exported.</summary>
[Trait("Category", "Slow")]
public sealed class NativeEngineTests(SharedService shared)
{
    private const long MiB = 1 << 20;

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Native_stream_changes_its_pace_pauses_resumes_and_completes(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        var service = await shared.StartedAsync();
        await domain.GuestWriteAsync(0xf1, 7 * MiB, 100 << 10);

        var started = await service.StartStreamAsync(domain, new { mode = "full", engine = "native", bandwidth = 4 * MiB });
        Assert.Equal("native", started.GetProperty("engine").GetString());
        await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 2 * MiB);
        var paused = await service.ChangeAsync(domain, new { state = "paused" });
        Assert.Equal("paused", paused.GetProperty("state").GetString());
        Assert.Equal(paused.GetProperty("bytesStreamed").GetInt64(), paused.GetProperty("bytesDurable").GetInt64());
        await service.ChangeAsync(domain, new { state = "running" });
        await service.WaitForAsync(domain, "more progress", status =>
            status.GetProperty("bytesStreamed").GetInt64() > paused.GetProperty("bytesStreamed").GetInt64() && status.GetProperty("state").GetString() == "running");
        await service.ChangeAsync(domain, new { bandwidth = 0 });

        // At the old pace it would take ten seconds more.
        var completed = await service.WaitForStateAsync(domain, "completed");
        Assert.Equal("native", completed.GetProperty("engine").GetString());
        Assert.Equal(System.Text.Json.JsonValueKind.Null, completed.GetProperty("engineReason").ValueKind);
        Assert.Equal(completed.GetProperty("bytesStreamed").GetInt64(), completed.GetProperty("bytesDurable").GetInt64());
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Base_stays_with_the_native_engine(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        var service = await shared.StartedAsync();

        await service.StartStreamAsync(domain, new { mode = "full", engine = "native", @base = domain.Chain[1] });
        await service.WaitForStateAsync(domain, "completed");

        await domain.StopAsync();
        Assert.Equal(domain.Chain[1], await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    public async Task Taken_NBD_server_leads_to_the_native_engine_only_where_the_request_leaves_it_open(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        var service = await shared.StartedAsync();
        await domain.MonitorAsync("nbd-server-start", new { addr = new { type = "inet", data = new { host = "127.0.0.1", port = "0" } } });

        await service.StartStreamAsync(domain, new { mode = "full", engine = "pipelined" });
        var waiting = await service.WaitForStateAsync(domain, "waiting");
        Assert.Contains("NBD server", waiting.GetProperty("reason").GetString(), StringComparison.Ordinal);
        using (var cancelled = await service.Http.DeleteAsync($"{ServiceProcess.DiskUrl(domain)}/stream"))
            Assert.Equal(HttpStatusCode.Accepted, cancelled.StatusCode);
        await service.WaitForStateAsync(domain, "cancelled");

        using (var single = await service.StreamAsync(domain, new { mode = "single" }))
            await Problem.AssertAsync(single, 502, "hypervisor-error");

        await service.StartStreamAsync(domain);
        var completed = await service.WaitForStateAsync(domain, "completed");
        Assert.Equal("native", completed.GetProperty("engine").GetString());
        Assert.Contains("NBD server", completed.GetProperty("engineReason").GetString(), StringComparison.Ordinal);
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Daemon_whose_disk_cannot_be_flushed_is_never_called_completed()
    {
        await using var domain = await TestDomain.StartAsync(kind: DomainKind.StorageDaemon);
        var service = await shared.StartedAsync();
        await domain.MonitorAsync("nbd-server-start", new { addr = new { type = "inet", data = new { host = "127.0.0.1", port = "0" } } });

        await service.StartStreamAsync(domain);
        var waiting = await service.WaitForStateAsync(domain, "waiting");

        Assert.Contains("flushed", waiting.GetProperty("reason").GetString(), StringComparison.Ordinal);
        await domain.MonitorAsync("nbd-server-stop");
        await service.WaitForStateAsync(domain, "completed");
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Cancelling_a_stream_that_its_dead_source_stalls_is_answered_at_once(DomainKind kind)
    {
        await using var service = await ServiceProcess.StartAsync(new() { ["StreamService__Streaming__StalledAfter"] = "00:00:01" });
        NbdkitServer? source = null;
        await using var domain = await TestDomain.StartAsync(middle: false, reconnectDelay: 8, kind: kind, baseUri: async image =>
        {
            source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
            await source.StartAsync();
            return source.Uri;
        });
        await using (source)
        {
            await service.StartStreamAsync(domain, new { mode = "full", engine = "native", bandwidth = 8 * MiB });
            await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 * MiB);
            await source!.KillAsync();
            await service.WaitForStateAsync(domain, "waiting");

            var watch = Stopwatch.StartNew();
            using (var cancelled = await service.Http.DeleteAsync($"{ServiceProcess.DiskUrl(domain)}/stream"))
                Assert.Equal(HttpStatusCode.Accepted, cancelled.StatusCode);
            Assert.InRange(watch.ElapsedMilliseconds, 0, 200);
            await service.WaitForStateAsync(domain, "cancelled");
            await source.StartAsync();

            await service.StartStreamAsync(domain);
            await service.WaitForStateAsync(domain, "completed");
            await domain.StopAsync();
            await domain.AssertIntactAsync();
        }
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Failure_keeps_the_hypervisors_own_words_and_the_disk(DomainKind kind)
    {
        var service = await shared.StartedAsync();
        NbdkitServer? source = null;
        await using var domain = await TestDomain.StartAsync(middle: false, kind: kind, baseUri: async image =>
        {
            source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
            await source.StartAsync();
            return source.Uri;
        });
        await using (source)
        {
            await service.StartStreamAsync(domain, new { mode = "full", engine = "native", bandwidth = 8 * MiB, onError = "report" });
            await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 * MiB);

            await source!.KillAsync();
            var failed = await service.WaitForStateAsync(domain, "failed");

            Assert.Contains("nput/output error", failed.GetProperty("error").GetProperty("detail").GetString(), StringComparison.Ordinal);
            await domain.StopAsync();
            await source.StartAsync();
            await domain.AssertIntactAsync();
        }
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Job_that_a_killed_service_left_is_taken_up(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        await using var service = await ServiceProcess.StartAsync();
        await service.StartStreamAsync(domain, new { mode = "full", engine = "native", bandwidth = 4 * MiB });
        await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 2 * MiB);

        await service.KillAsync();
        await service.StartAgainAsync();

        await service.ChangeAsync(domain, new { bandwidth = 0 });
        await service.WaitForStateAsync(domain, "completed");
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }
}
