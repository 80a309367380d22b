using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>The service ends in mid-stream, in whatever way, and starts again.</summary>
[Trait("Category", "Slow")]
public sealed class RestartTests
{
    [Theory]
    [InlineData(true, DomainKind.Libvirt)]
    [InlineData(false, DomainKind.Libvirt)]
    [InlineData(true, DomainKind.Qemu)]
    [InlineData(false, DomainKind.Qemu)]
    [InlineData(true, DomainKind.StorageDaemon)]
    [InlineData(false, DomainKind.StorageDaemon)]
    public async Task Stream_goes_on_after_the_service_was_killed_or_stopped(bool killed, DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        await using var service = await ServiceProcess.StartAsync();
        var begun = await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 16 << 20 });
        var before = await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);

        await (killed ? service.KillAsync() : service.StopAsync());
        await service.StartAgainAsync();

        var after = await service.StatusAsync(domain);
        Assert.True(after.GetProperty("generation").GetInt64() > before.GetProperty("generation").GetInt64());
        await service.HurryAsync(domain);
        var completed = await service.WaitForStateAsync(domain, "completed");
        Assert.Equal(begun.GetProperty("streamId").GetString(), completed.GetProperty("streamId").GetString());
        var streams = await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Key}/streams");
        Assert.Equal(1, streams.GetProperty("items").GetArrayLength());
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Clean_stop_leaves_all_that_was_streamed_on_stable_storage(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(middle: false, kind: kind);
        await using var service = await ServiceProcess.StartAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 8 << 20 });
        var before = await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);

        await service.StopAsync();
        await domain.KillQemuAsync();

        Assert.True(await domain.OverlayBytesAsync() >= before.GetProperty("bytesStreamed").GetInt64());
        await domain.AssertIntactAsync(crashed: true);
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Paused_stream_is_still_paused_after_a_restart(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        await using var service = await ServiceProcess.StartAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 8 << 20 });
        await service.ChangeAsync(domain, new { state = "paused" });

        await service.KillAsync();
        await service.StartAgainAsync();

        Assert.Equal("paused", (await service.StatusAsync(domain)).GetProperty("state").GetString());
        await service.ChangeAsync(domain, new { state = "running", bandwidth = 0 });
        await service.WaitForStateAsync(domain, "completed");
    }

    [Fact]
    public async Task Stream_whose_end_somebody_else_brought_about_meanwhile_is_completed()
    {
        await using var domain = await TestDomain.StartAsync();
        await using var service = await ServiceProcess.StartAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 1 << 20 });
        await service.WaitForStateAsync(domain, "running");

        await service.KillAsync();
        await TestDomain.VirshAsync("blockpull", domain.Name, "vda", "--wait");
        await service.StartAgainAsync();

        await service.WaitForStateAsync(domain, "completed");
        await domain.KillQemuAsync();
        await domain.AssertIntactAsync(crashed: true);
    }

    [Fact]
    public async Task Stream_waits_for_a_domain_that_was_shut_off_and_fails_for_one_that_is_gone()
    {
        await using var domain = await TestDomain.StartAsync();
        await using var service = await ServiceProcess.StartAsync();
        var begun = await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 1 << 20 });
        await service.WaitForStateAsync(domain, "running");

        await service.KillAsync();
        await domain.StopAsync();
        await service.StartAgainAsync();
        await service.WaitForStateAsync(domain, "waiting");

        await service.KillAsync();
        await TestDomain.VirshAsync("undefine", domain.Name);
        await service.StartAgainAsync();
        var url = $"/streams/{begun.GetProperty("streamId").GetString()}";
        JsonElement status = default;
        await Shell.WaitForAsync("the stream to fail", async () =>
        {
            status = await service.Http.GetFromJsonAsync<JsonElement>(url);
            return status.GetProperty("state").GetString() == "failed";
        });
        Assert.Equal("domain-not-found", status.GetProperty("error").GetProperty("code").GetString());
    }
}
