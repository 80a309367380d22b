using System.Globalization;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>SIGKILL to QEMU: what the API called done, or durable, must be in the image.</summary>
[Trait("Category", "Slow")]
public sealed class CrashTests
{
    private const int Rounds = 20;

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    [InlineData("qcow2", DomainKind.Libvirt, "native")]
    [InlineData("qcow2", DomainKind.Qemu)]
    [InlineData("qcow2", DomainKind.Qemu, "native")]
    [InlineData("qcow2", DomainKind.StorageDaemon)]
    [InlineData("qcow2", DomainKind.StorageDaemon, "native")]
    public async Task Completed_disk_survives_SIGKILL_to_QEMU_at_that_moment(string format, DomainKind kind = DomainKind.Libvirt, string engine = "pipelined")
    {
        await using var service = await ServiceProcess.StartAsync();
        for (var round = 0; round < Rounds; round++)
        {
            await using var domain = await TestDomain.StartAsync(format, size: 32 << 20, middle: round % 2 == 0, kind: kind);
            await service.StartStreamAsync(domain, new { mode = "full", engine });
            await service.WaitForStateAsync(domain, "completed");
            await domain.KillQemuAsync();
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertIntactAsync(crashed: true);
        }
    }

    [Theory]
    [InlineData("qcow2", 1)]
    [InlineData("qed", 2)]
    public async Task SIGKILL_at_any_moment_loses_nothing_durable_and_the_stream_goes_on(string format, int seed)
    {
        var random = new Random(seed);
        await using var service = await ServiceProcess.StartAsync(new()
        {
            ["StreamService__Streaming__CheckpointBytes"] = (4 << 20).ToString(CultureInfo.InvariantCulture),
            ["StreamService__Streaming__RetryDelay"] = "00:00:00.2",
        });
        for (var round = 0; round < 5; round++)
        {
            await using var domain = await TestDomain.StartAsync(format);
            await domain.GuestWriteAsync(0xe1, 20 << 20, 192 << 10);
            await domain.GuestAsync("flush");
            var held = await HeldBeforeAsync(domain);
            await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 64 << 20 });
            var until = random.NextInt64(40L << 20);
            var before = await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() >= until);

            await domain.KillQemuAsync();
            if (before.GetProperty("state").GetString() != "completed")
            {
                var durable = before.GetProperty("bytesDurable").GetInt64();
                Assert.True(await domain.OverlayBytesAsync() - held >= durable, $"{durable} bytes were called durable.");
                await domain.AssertIntactAsync(crashed: true);
                await service.WaitForAsync(domain, "the reason that the domain is not running", status =>
                    status.GetProperty("state").GetString() == "waiting"
                    && status.GetProperty("reason").GetString()!.Contains("not running", StringComparison.Ordinal));
                await domain.StartAsync();
                await service.WaitForStateAsync(domain, "completed");
                await domain.KillQemuAsync();
            }
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertIntactAsync(crashed: true);
        }

        // What the overlay holds of the guest's own, before any stream.
        static async Task<long> HeldBeforeAsync(TestDomain domain)
        {
            await domain.StopAsync();
            var held = await domain.OverlayBytesAsync();
            await domain.StartAsync();
            return held;
        }
    }
}
