using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>Domains that are shut off: the service opens their images itself.</summary>
[Trait("Category", "Slow")]
public sealed class OfflineTests(SharedService shared)
{
    private const long MiB = 1 << 20;

    [Theory]
    [InlineData("qcow2", "pipelined")]
    [InlineData("qed", "pipelined")]
    [InlineData("qcow2", "native")]
    public async Task Full_stream_makes_the_disk_independent_and_the_domain_starts(string format, string engine)
    {
        await using var domain = await ShutOffAsync(format);
        var service = await shared.StartedAsync();
        Assert.True((await DiskAsync(service, domain)).GetProperty("streamable").GetBoolean());

        await service.StartStreamAsync(domain, new { mode = "full", engine });
        await service.WaitForStateAsync(domain, "completed");

        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
        await domain.StartAsync();
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Base_stays()
    {
        await using var domain = await ShutOffAsync();
        var service = await shared.StartedAsync();

        await service.StartStreamAsync(domain, new { mode = "full", @base = domain.Chain[1] });
        await service.WaitForStateAsync(domain, "completed");

        Assert.Equal(domain.Chain[1], await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Single_steps_come_to_their_end()
    {
        await using var domain = await ShutOffAsync();
        var service = await shared.StartedAsync();
        var offset = 0L;
        for (var done = false; !done;)
        {
            using var answer = await service.StreamAsync(domain, new { mode = "single", offset, length = 4 * MiB });
            Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
            var step = await answer.Content.ReadFromJsonAsync<JsonElement>();
            (offset, done) = (step.GetProperty("offset").GetInt64(), step.GetProperty("done").GetBoolean());
        }
        await domain.StartAsync();
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData("cancelled")]
    [InlineData("paused")]
    public async Task Domain_starts_once_its_stream_is_cancelled_or_paused_and_not_before(string state)
    {
        await using var domain = await ShutOffAsync();
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 4 * MiB });
        await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > MiB);
        using (var map = await service.Http.GetAsync($"{ServiceProcess.DiskUrl(domain)}/map?buckets=8"))
            Assert.Equal(HttpStatusCode.OK, map.StatusCode);

        var refused = await Assert.ThrowsAsync<InvalidOperationException>(domain.StartAsync);
        // Where QEMU ends too soon libvirt's answer lacks its last words, which the domain's log has.
        if (!refused.Message.Contains("lock", StringComparison.Ordinal))
            Assert.Contains("Failed to get \"write\" lock", await File.ReadAllTextAsync($"/var/log/libvirt/qemu/{domain.Name}.log", TestContext.Current.CancellationToken), StringComparison.Ordinal);

        if (state == "paused")
            await service.ChangeAsync(domain, new { state });
        else
            (await service.Http.DeleteAsync($"{ServiceProcess.DiskUrl(domain)}/stream")).Dispose();
        await service.WaitForStateAsync(domain, state);
        await domain.StartAsync();

        // Where it was paused it goes on inside QEMU.
        if (state == "paused")
            await service.ChangeAsync(domain, new { state = "running", bandwidth = 0 });
        else
            await service.StartStreamAsync(domain);
        await service.WaitForStateAsync(domain, "completed");
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Service_that_is_killed_takes_its_daemon_along_and_the_next_one_goes_on()
    {
        await using var domain = await ShutOffAsync();
        await using var service = await ServiceProcess.StartAsync();
        var begun = await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 4 * MiB });
        await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > 2 * MiB);
        Assert.Single(FindDaemons(domain));

        await service.KillAsync();
        await Shell.WaitForAsync("the daemon's end", () => Task.FromResult(FindDaemons(domain).Count == 0));
        await domain.AssertIntactAsync();
        await service.StartAgainAsync();

        await service.HurryAsync(domain);
        var completed = await service.WaitForStateAsync(domain, "completed");
        Assert.Equal(begun.GetProperty("streamId").GetString(), completed.GetProperty("streamId").GetString());
        Assert.Empty(FindDaemons(domain));
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Stream_that_began_on_a_running_domain_leaves_the_image_alone_when_that_is_shut_off()
    {
        await using var domain = await TestDomain.StartAsync();
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 4 * MiB });
        await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > MiB);

        await domain.StopAsync();
        await service.WaitForAsync(domain, "the reason that the domain is not running", status =>
            status.GetProperty("state").GetString() == "waiting"
            && status.GetProperty("reason").GetString()!.Contains("not running", StringComparison.Ordinal));
        Assert.Empty(FindDaemons(domain));
        await domain.StartAsync();

        await service.HurryAsync(domain);
        await service.WaitForStateAsync(domain, "completed");
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Chain_that_the_definition_spells_out_is_refused_with_the_reason()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB, middle: false, spellOut: true);
        await domain.StopAsync();
        var service = await shared.StartedAsync();
        await SeenShutOffAsync(service, domain);

        using var answer = await service.StreamAsync(domain, new { mode = "full" });
        Assert.Contains("backingStore", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        await Problem.AssertAsync(answer, 409, "domain-not-running");
        Assert.False((await DiskAsync(service, domain)).GetProperty("streamable").GetBoolean());
    }

    [Theory]
    [InlineData("stop", "waiting")]
    [InlineData("report", "failed")]
    public async Task Image_that_another_QEMU_holds_is_left_to_it(string onError, string state)
    {
        await using var domain = await ShutOffAsync();
        var service = await shared.StartedAsync();
        using (var holder = Process.Start(new ProcessStartInfo("qemu-storage-daemon", ["--blockdev", $"driver=qcow2,node-name=held,file.driver=file,file.filename={domain.Disk}",
            "--nbd-server", $"addr.type=unix,addr.path={domain.Disk}.sock", "--export", "type=nbd,id=e,node-name=held,writable=on", "--pidfile", $"{domain.Disk}.pid"]))!)
            try
            {
                await Shell.WaitForAsync("the other QEMU to hold the image", () => Task.FromResult(File.Exists($"{domain.Disk}.pid")));
                await service.StartStreamAsync(domain, new { mode = "full", onError });
                await service.WaitForAsync(domain, state, status => status.GetProperty("state").GetString() == state
                    && status.ToString().Contains("lock", StringComparison.Ordinal));
                Assert.Equal([holder.Id], FindDaemons(domain));
            }
            finally
            {
                holder.Kill();
                await holder.WaitForExitAsync();
            }
        await domain.AssertIntactAsync();
        if (state == "waiting")
            await service.WaitForStateAsync(domain, "completed");
        else
        {
            await service.StartStreamAsync(domain);
            await service.WaitForStateAsync(domain, "completed");
        }
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Service_that_stops_in_order_frees_the_image()
    {
        await using var domain = await ShutOffAsync();
        await using var service = await ServiceProcess.StartAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 4 * MiB });
        await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > 2 * MiB);

        await service.StopAsync();

        Assert.Empty(FindDaemons(domain));
        await domain.StartAsync();
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    private async Task<TestDomain> ShutOffAsync(string format = "qcow2")
    {
        var domain = await TestDomain.StartAsync(format);
        await domain.StopAsync();
        await SeenShutOffAsync(await shared.StartedAsync(), domain);
        return domain;
    }

    private static Task SeenShutOffAsync(ServiceProcess service, TestDomain domain) => Shell.WaitForAsync("the service to see the domain's end", async () =>
        (await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Id}")).GetProperty("state").GetString() == "shutOff");

    private static Task<JsonElement> DiskAsync(ServiceProcess service, TestDomain domain) => service.Http.GetFromJsonAsync<JsonElement>(ServiceProcess.DiskUrl(domain));

    /// <summary>The processes of qemu-storage-daemons that have the domain's disk.</summary>
    private static List<int> FindDaemons(TestDomain domain)
    {
        var found = new List<int>();
        foreach (var process in Process.GetProcessesByName("qemu-storage-daemon"))
            using (process)
                try
                {
                    if (File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{process.Id}/cmdline")).Contains(domain.Disk, StringComparison.Ordinal))
                        found.Add(process.Id);
                }
                catch (IOException)
                {
                    // Gone in between.
                }
        return found;
    }
}
