using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>Somebody else is at work on the same disk, or in the same QEMU.</summary>
public sealed class NeighbourFaultTests(FaultTable table) : FaultTests(table)
{
    private static readonly FaultRow[] Rows =
    [
        new("somebody's block job on the disk", "before the stream", ["running", "completed"], async bench =>
        {
            await TestDomain.VirshAsync("blockpull", bench.Domain.Name, "vda", "--bandwidth", "1");
            using (var refused = await bench.Service.StreamAsync(bench.Domain, new { mode = "full" }))
                Assert.Equal("block-job-active", (await refused.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetProperty("code").GetString());
            await TestDomain.VirshAsync("blockjob", bench.Domain.Name, "vda", "--abort");
            await bench.BeginAndReachMiddleAsync();
            await bench.FinishAsync();
        }),
        new("somebody's block job on the disk", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            // What either of the two brings in the other finds there.
            await TestDomain.VirshAsync("blockpull", bench.Domain.Name, "vda", "--bandwidth", "1");
            await bench.FinishAsync();
        }),
        new("somebody's snapshot of the disk", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            var layer = Path.Combine(bench.Domain.Folder, "snapshot");
            await TestDomain.VirshAsync("snapshot-create-as", bench.Domain.Name, "--disk-only", "--no-metadata", "--diskspec", $"vda,file={layer}");
            await bench.Service.HurryAsync(bench.Domain);
            await bench.WaitForAsync("completed");
            await bench.Domain.StopAsync();
            // The snapshot's layer is the disk now, and it depends on nothing.
            var info = JsonDocument.Parse(await Shell.RunAsync("qemu-img", "info", "--output=json", layer)).RootElement;
            Assert.False(info.TryGetProperty("full-backing-filename", out _), info.GetRawText());
            Assert.Contains("identical", await Shell.RunAsync("qemu-img", "compare", "-F", "raw", layer, bench.Domain.Expected), StringComparison.Ordinal);
        }),
        new("somebody's backup of the disk", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            var copy = Path.Combine(bench.Domain.Folder, "backup.qcow2");
            var xml = Path.Combine(bench.Domain.Folder, "backup.xml");
            await File.WriteAllTextAsync(xml, $"<domainbackup mode='push'><disks><disk name='vda' type='file'><target file='{copy}'/><driver type='qcow2'/></disk></disks></domainbackup>", TestContext.Current.CancellationToken);
            await TestDomain.VirshAsync("backup-begin", bench.Domain.Name, xml);
            await Shell.WaitForAsync("the backup to be over", async () => (await TestDomain.VirshAsync("domjobinfo", bench.Domain.Name)).Contains("None", StringComparison.Ordinal), TimeSpan.FromMinutes(1));
            await bench.FinishAsync();
            // It, too, is whole.
            Assert.Contains("identical", await Shell.RunAsync("qemu-img", "compare", "-F", "raw", copy, bench.Domain.Expected), StringComparison.Ordinal);
        }),
        new("somebody's NBD server in the QEMU, engine pipelined", "before the stream", ["running", "waiting: NBD server", "running", "completed"], async bench =>
        {
            await StartServerAsync(bench);
            await bench.BeginAsync(new { mode = "full", engine = "pipelined", bandwidth = FaultBench.Pace });
            await bench.WaitForAsync("waiting");
            await bench.Domain.MonitorAsync("nbd-server-stop");
            await bench.WaitForProgressAsync();
            await bench.FinishAsync();
        }),
        new("somebody's NBD server in the QEMU, engine left open", "before the stream", ["running", "completed"], async bench =>
        {
            await StartServerAsync(bench);
            await bench.BeginAsync(new { mode = "full" });
            var completed = await bench.WaitForAsync("completed");
            Assert.Equal("native", completed.GetProperty("engine").GetString());
            Assert.Contains("NBD", completed.GetProperty("engineReason").GetString(), StringComparison.Ordinal);
            // It was not touched.
            await bench.Domain.MonitorAsync("nbd-server-stop");
            await bench.CompareAsync(independent: true);
        }),
        new("somebody else's export on our NBD server", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            var node = (await bench.Domain.MonitorAsync("query-block")).EnumerateArray().First(device => device.TryGetProperty("inserted", out _)).GetProperty("inserted").GetProperty("node-name").GetString();
            await bench.Domain.MonitorAsync("block-export-add", new Dictionary<string, object> { ["type"] = "nbd", ["id"] = "theirs", ["node-name"] = node!, ["name"] = "theirs" });
            await bench.Service.HurryAsync(bench.Domain);
            await bench.WaitForAsync("completed");
            Assert.Contains((await bench.Domain.MonitorAsync("query-block-exports")).EnumerateArray(), export => export.GetProperty("id").GetString() == "theirs");
            await bench.CompareAsync(independent: true);
        }),
    ];

    public static TheoryData<string> All => Names(Rows);

    [Theory]
    [MemberData(nameof(All))]
    public Task Neighbour_is_left_alone_and_harms_no_byte(string row) => PlayAsync(Rows, row);

    private static Task<JsonElement> StartServerAsync(FaultBench bench) => bench.Domain.MonitorAsync("nbd-server-start",
        new { addr = new { type = "inet", data = new { host = "127.0.0.1", port = ServiceProcess.FreePort().ToString(System.Globalization.CultureInfo.InvariantCulture) } } });
}
