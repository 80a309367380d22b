using System.Net.Http.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>Full streams of running domains, on real QEMU and libvirt, over real HTTP.</summary>
public sealed class FullStreamTests(SharedService shared)
{
    [Theory]
    [InlineData("qcow2", false)]
    [InlineData("qcow2", true)]
    [InlineData("qed", false)]
    [InlineData("qcow2", false, DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData("qed", false, DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData("qcow2", false, DomainKind.StorageDaemon)]
    [InlineData("qed", false, DomainKind.StorageDaemon)]
    public async Task Three_layer_chain_becomes_independent_and_equals_what_the_guest_saw(string format, bool copyOnRead, DomainKind kind = DomainKind.Libvirt)
    {
        await using var domain = await TestDomain.StartAsync(format, copyOnRead: copyOnRead, kind: kind);
        var service = await shared.StartedAsync();
        await domain.GuestWriteAsync(0xa1, 3 << 20, 100 << 10);

        await service.StartStreamAsync(domain);
        var status = await service.WaitForStateAsync(domain, "completed");

        var size = status.GetProperty("size").GetInt64();
        Assert.Equal(size, status.GetProperty("offset").GetInt64());
        Assert.Equal(0, status.GetProperty("bytesRemaining").GetInt64());
        Assert.Equal(status.GetProperty("bytesStreamed").GetInt64(), status.GetProperty("bytesDurable").GetInt64());
        await domain.GuestWriteAsync(0xa2, 40 << 20, 1 << 20);
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Bytes_streamed_are_the_data_of_the_chain_without_holes_and_without_what_the_guest_wrote(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(size: 64 << 20, middle: false, kind: kind);
        var service = await shared.StartedAsync();
        await domain.GuestWriteAsync(0xb1, 8 << 20, 2 << 20);

        await service.StartStreamAsync(domain);
        var status = await service.WaitForStateAsync(domain, "completed");

        // Three quarters of the base are data. The device's firmware has read, not written.
        Assert.Equal((48 << 20) - (2 << 20), status.GetProperty("bytesStreamed").GetInt64());
    }

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    [InlineData("qcow2", DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData("qcow2", DomainKind.StorageDaemon)]
    public async Task Base_stays_and_nothing_below_it_is_brought_in(string format, DomainKind kind = DomainKind.Libvirt)
    {
        await using var domain = await TestDomain.StartAsync(format, kind: kind);
        var service = await shared.StartedAsync();
        var baseImage = domain.Chain[1];

        await service.StartStreamAsync(domain, new { mode = "full", @base = baseImage });
        var status = await service.WaitForStateAsync(domain, "completed");

        // All that the middle image holds.
        Assert.Equal(2 << 20, status.GetProperty("bytesStreamed").GetInt64());
        await domain.StopAsync();
        Assert.Equal(baseImage, await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Guest_writes_and_discards_during_the_stream_survive_it(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        var service = await shared.StartedAsync();

        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 24 << 20 });
        for (var i = 0; i < 40; i++)
            await domain.GuestWriteAsync((byte)(i + 1), (i * 1_638_400L) & ~511L, 70 << 10);
        await service.WaitForStateAsync(domain, "completed");

        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Paused_stream_rests_flushed_and_resumes_and_a_cancelled_one_is_gone_on_from(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 8 << 20 });
        await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 2 << 20);

        var paused = await service.ChangeAsync(domain, new { state = "paused" });
        Assert.Equal("paused", paused.GetProperty("state").GetString());
        Assert.Equal(paused.GetProperty("bytesStreamed").GetInt64(), paused.GetProperty("bytesDurable").GetInt64());
        await domain.GuestWriteAsync(0xc1, 0, 64 << 10);
        var resting = await service.StatusAsync(domain);
        Assert.Equal(paused.GetProperty("bytesStreamed").GetInt64(), resting.GetProperty("bytesStreamed").GetInt64());

        var resumed = await service.ChangeAsync(domain, new { state = "running", bandwidth = 16 << 20 });
        Assert.Equal("running", resumed.GetProperty("state").GetString());
        Assert.Equal(16 << 20, resumed.GetProperty("bandwidth").GetInt64());
        await service.WaitForAsync(domain, "more progress", status => status.GetProperty("bytesStreamed").GetInt64() > paused.GetProperty("bytesStreamed").GetInt64());

        using (var cancelled = await service.Http.DeleteAsync($"{ServiceProcess.DiskUrl(domain)}/stream"))
            Assert.Equal(System.Net.HttpStatusCode.Accepted, cancelled.StatusCode);
        var gone = await service.WaitForStateAsync(domain, "cancelled");
        Assert.True(gone.GetProperty("bytesRemaining").GetInt64() > 0);

        await service.StartStreamAsync(domain);
        var second = await service.WaitForStateAsync(domain, "completed");
        Assert.True(second.GetProperty("bytesStreamed").GetInt64() < 50 << 20);
        Assert.NotEqual(gone.GetProperty("streamId").GetString(), second.GetProperty("streamId").GetString());
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Theory]
    [Trait("Category", "Slow")]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task NBD_server_of_QEMU_is_given_back_after_the_stream(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain);
        await service.WaitForStateAsync(domain, "completed");

        // Whoever starts the server next finds it free.
        await Shell.WaitForAsync("QEMU's NBD server to be free", async () =>
        {
            try
            {
                await domain.MonitorAsync("nbd-server-start", new { addr = new { type = "inet", data = new { host = "127.0.0.1", port = "0" } } });
                return true;
            }
            catch (Exception exception) when (exception is KeyNotFoundException or Qemu.Qmp.QmpCommandException)
            {
                return false;
            }
        });
    }

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Disks_of_one_domain_stream_side_by_side_over_the_one_NBD_server()
    {
        await using var domain = await TestDomain.StartAsync(size: 32 << 20, middle: false);
        var service = await shared.StartedAsync();
        var second = Path.Combine(domain.Folder, "second");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", domain.Chain[0], "-F", "raw", second);
        await TestDomain.VirshAsync("attach-disk", domain.Name, second, "vdb", "--driver", "qemu", "--subdriver", "qcow2");

        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 16 << 20 });
        var url = $"/domains/{domain.Name}/disks/{Uri.EscapeDataString(second)}";
        using (var started = await service.Http.PostAsJsonAsync($"{url}/stream", new { mode = "full", bandwidth = 16 << 20 }))
            Assert.Equal(System.Net.HttpStatusCode.Accepted, started.StatusCode);

        await service.WaitForStateAsync(domain, "completed");
        await Shell.WaitForAsync("the second disk's stream to complete", async () =>
            (await service.Http.GetFromJsonAsync<System.Text.Json.JsonElement>($"{url}/status")).GetProperty("state").GetString() == "completed");
        await domain.StopAsync();
        await domain.AssertIntactAsync();
        Assert.Contains("identical", await Shell.RunAsync("qemu-img", "compare", "-F", "raw", second, domain.Expected), StringComparison.Ordinal);
    }
}
