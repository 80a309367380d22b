using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>The backing image's NBD server: killed, hung, full of errors.</summary>
public sealed class SourceFaultTests(FaultTable table) : FaultTests(table)
{
    private static readonly FaultRow[] Rows =
    [
        new("source: killed, back after 1 s", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Source.KillAsync();
            await Task.Delay(TimeSpan.FromSeconds(1), TestContext.Current.CancellationToken);
            await bench.Source.StartAsync();
            await bench.WaitForProgressAsync();
            await bench.FinishAsync();
        })
        {
            // libvirt 9.0 forgets the delay.
            Kind = DomainKind.StorageDaemon,
            ReconnectDelay = 20,
        },
        new("source: killed, back after QEMU has given up", "in mid-stream", ["running", "waiting: could not populate", "waiting: Attempt 2 failed", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Source.KillAsync();
            await bench.WaitForWaitingAsync("Attempt 2 failed");
            var waiting = await bench.Service.StatusAsync(bench.Domain);
            Assert.InRange(waiting.GetProperty("attempt").GetInt32(), 2, 100);
            Assert.Equal("hypervisor-error", waiting.GetProperty("lastError").GetProperty("code").GetString());
            // The first requests after its return fail still: QEMU has not noticed.
            await bench.Source.StartAsync();
            await bench.WaitForProgressAsync();
            var running = await bench.WaitForAsync("running");
            Assert.Equal((0, JsonValueKind.Null), (running.GetProperty("attempt").GetInt32(), running.GetProperty("nextAttemptAt").ValueKind));
            await bench.FinishAsync();
        })
        {
            ReconnectDelay = 1,
        },
        new("source: killed, back after 30 s", "in mid-stream", ["running", "waiting: has not answered", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Source.KillAsync();
            await Task.Delay(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
            await bench.Source.StartAsync();
            await bench.WaitForProgressAsync();
            await bench.FinishAsync();
        })
        {
            Kind = DomainKind.StorageDaemon,
            ReconnectDelay = 20,
        },
        new("source: SIGSTOP, SIGCONT", "in mid-stream", ["running", "waiting: The source, or QEMU itself, has not answered", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Source.FreezeAsync();
            await bench.WaitForWaitingAsync("The source, or QEMU itself, has not answered");
            await bench.Source.ThawAsync();
            await bench.WaitForProgressAsync();
            await bench.FinishAsync();
        })
        {
            ReconnectDelay = 20,
        },
        new("source: EIO for ever, onError stop, then mended", "from the beginning", ["running", "waiting: could not populate", "waiting: Attempt 3 failed", "running", "completed"], async bench =>
        {
            await FailAsync(bench);
            await bench.BeginAsync();
            await bench.WaitForWaitingAsync("Attempt 3 failed");
            File.Delete(ErrorsOf(bench.Domain.Folder));
            await bench.WaitForAsync("running");
            await bench.FinishAsync();
        })
        {
            ReconnectDelay = 5,
            Source = Failing,
        },
        new("source: EIO once, onError stop", "in mid-stream", ["running", "waiting: could not populate", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await FailAsync(bench);
            await bench.WaitForAsync("waiting");
            File.Delete(ErrorsOf(bench.Domain.Folder));
            await bench.WaitForProgressAsync();
            await bench.FinishAsync();
        })
        {
            ReconnectDelay = 5,
            Source = Failing,
        },
        new("source: EIO, onError report", "in mid-stream", ["running", "failed: could not populate"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync(new { mode = "full", bandwidth = FaultBench.Pace, onError = "report" });
            await FailAsync(bench);
            var failed = await bench.WaitForAsync("failed");
            Assert.Equal("hypervisor-error", failed.GetProperty("error").GetProperty("code").GetString());
            File.Delete(ErrorsOf(bench.Domain.Folder));
            await bench.CompareAsync(independent: false);
        })
        {
            ReconnectDelay = 5,
            Source = Failing,
        },
    ];

    public static TheoryData<string> All => Names(Rows);

    [Theory]
    [MemberData(nameof(All))]
    public Task Source_that_fails_harms_no_byte(string row) => PlayAsync(Rows, row);

    /// <summary>nbdkit's error filter: every read fails while a file is there.</summary>
    private static string[] Failing(string folder) => ["--filter=error", "error-pread=EIO", "error-pread-rate=100%", $"error-pread-file={ErrorsOf(folder)}"];

    private static string ErrorsOf(string folder) => Path.Combine(folder, "errors");

    private static Task FailAsync(FaultBench bench) => File.WriteAllTextAsync(ErrorsOf(bench.Domain.Folder), "", TestContext.Current.CancellationToken);
}
