using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>The backing image is on another host, over NBD, and goes away.</summary>
[Trait("Category", "Slow")]
public sealed class SourceTests
{
    [Fact]
    public async Task Stream_waits_for_its_source_and_goes_on_when_it_is_back()
    {
        await using var service = await ServiceProcess.StartAsync(new() { ["StreamService__Streaming__RetryDelay"] = "00:00:00.2" });
        NbdkitServer? source = null;
        await using var domain = await TestDomain.StartAsync(middle: false, reconnectDelay: 1, baseUri: async image =>
        {
            source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
            await source.StartAsync();
            return source.Uri;
        });
        await using (source)
        {
            await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 8 << 20 });
            await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);

            await source!.KillAsync();
            var waiting = await service.WaitForStateAsync(domain, "waiting");
            Assert.Contains("could not populate", waiting.GetProperty("reason").GetString(), StringComparison.Ordinal);

            await source.StartAsync();
            await service.WaitForStateAsync(domain, "running");
            await service.HurryAsync(domain);
            await service.WaitForStateAsync(domain, "completed");
            await domain.StopAsync();
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertIntactAsync();
        }
    }

    [Fact]
    public async Task Stream_that_is_to_report_errors_fails_with_QEMUs_words_and_the_disk_stays_valid()
    {
        await using var service = await ServiceProcess.StartAsync();
        NbdkitServer? source = null;
        await using var domain = await TestDomain.StartAsync(middle: false, baseUri: async image =>
        {
            source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
            await source.StartAsync();
            return source.Uri;
        });
        await using (source)
        {
            await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 8 << 20, onError = "report" });
            await service.WaitForAsync(domain, "some progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);

            await source!.KillAsync();
            var failed = await service.WaitForStateAsync(domain, "failed");

            var error = failed.GetProperty("error");
            Assert.Equal("hypervisor-error", error.GetProperty("code").GetString());
            Assert.NotEmpty(error.GetProperty("detail").GetString()!);
            await domain.StopAsync();
            await source.StartAsync();
            await domain.AssertIntactAsync();
        }
    }
}
