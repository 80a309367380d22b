using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>The service, QEMU, the guest, libvirt: killed, stopped, started again.</summary>
public sealed class ProcessFaultTests(FaultTable table) : FaultTests(table)
{
    private static readonly FaultRow[] Rows =
    [
        new("service: SIGKILL", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Service.KillAsync();
            await bench.Service.StartAgainAsync();
            await bench.WaitForProgressAsync();
            await bench.FinishAsync();
        }),
        new("service: SIGTERM, then QEMU: SIGKILL", "in mid-stream", ["running", "waiting: not running", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            var before = (await bench.Service.StatusAsync(bench.Domain)).GetProperty("bytesStreamed").GetInt64();
            await bench.Service.StopAsync();
            await bench.Domain.KillQemuAsync();
            // A clean stop has flushed: what was streamed is in the image.
            Assert.InRange(await bench.Domain.OverlayBytesAsync(), before, long.MaxValue);
            await bench.Service.StartAgainAsync();
            await bench.WaitForWaitingAsync("not running");
            await bench.Domain.StartAsync();
            await bench.WaitForAsync("running");
            await bench.FinishAsync();
        }),
        new("service: SIGSTOP for 3 s", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await FaultBench.SignalAsync(bench.Service.ProcessId, "STOP");
            await Task.Delay(TimeSpan.FromSeconds(3), TestContext.Current.CancellationToken);
            await FaultBench.SignalAsync(bench.Service.ProcessId, "CONT");
            await bench.FinishAsync();
        }),
        new("QEMU: SIGKILL, started again", "in mid-stream", ["running", "waiting: not running", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Domain.KillQemuAsync();
            await bench.WaitForWaitingAsync("not running");
            await bench.Domain.StartAsync();
            await bench.WaitForAsync("running");
            await bench.FinishAsync();
        }),
        new("QEMU: SIGKILL, started again (no libvirt)", "in mid-stream", ["running", "waiting", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Domain.KillQemuAsync();
            await bench.WaitForAsync("waiting");
            await bench.Domain.StartAsync();
            await bench.WaitForAsync("running");
            await bench.FinishAsync();
        })
        {
            Kind = DomainKind.Qemu,
        },
        new("QEMU: SIGSTOP, SIGCONT", "in mid-stream", ["running", "waiting: has not answered", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            var qemu = await bench.Domain.QemuPidAsync();
            await FaultBench.SignalAsync(qemu, "STOP");
            try
            {
                await bench.WaitForWaitingAsync("has not answered");
            }
            finally
            {
                await FaultBench.SignalAsync(qemu, "CONT");
            }
            await bench.WaitForProgressAsync();
            await bench.FinishAsync();
        })
        {
            Kind = DomainKind.StorageDaemon,
        },
        new("guest: reset", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await TestDomain.VirshAsync("reset", bench.Domain.Name);
            await bench.FinishAsync();
        }),
        new("guest: shutdown, started again", "in mid-stream", ["running", "waiting: not running", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Domain.StopAsync();
            await bench.WaitForWaitingAsync("not running");
            await bench.Domain.StartAsync();
            await bench.WaitForAsync("running");
            await bench.FinishAsync();
        }),
        new("disk: unplugged", "in mid-stream", ["running", "failed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            // libvirt takes its time to let go of a disk: no end of the stream comes before it.
            await bench.SlowDownAsync();
            // Without an operating system the machine lets go of the disk when it is reset.
            await TestDomain.VirshAsync("detach-disk", bench.Domain.Name, "vda", "--live");
            await TestDomain.VirshAsync("reset", bench.Domain.Name);
            await Shell.WaitForAsync("the disk to be gone", async () =>
                !(await TestDomain.VirshAsync("domblklist", bench.Domain.Name)).Contains("vda", StringComparison.Ordinal));
            await Shell.WaitForAsync("the stream to fail", () => Task.FromResult(bench.Seen()[^1].State == "failed"), TimeSpan.FromMinutes(1));
            await bench.CompareAsync(independent: false);
        }),
    ];

    public static TheoryData<string> All => Names(Rows);

    [Theory]
    [MemberData(nameof(All))]
    public Task Process_that_fails_harms_no_byte(string row) => PlayAsync(Rows, row);
}
