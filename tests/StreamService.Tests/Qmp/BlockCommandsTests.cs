using System.Net;
using System.Text;
using Microsoft.Win32.SafeHandles;
using StreamService.Qemu.Qmp;

namespace StreamService.Tests.Qmp;

public sealed class BlockCommandsTests
{
    private const string Done = """{"return":{}}""";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Query_block_reads_devices_media_and_images()
    {
        var devices = await Answering(Captured.LibvirtBlock).QueryBlockAsync(Token);

        var device = Assert.Single(devices);
        Assert.Equal("/machine/peripheral/virtio-disk0/virtio-backend", device.Qdev);
        Assert.Equal("ok", device.IoStatus);
        Assert.Equal("libvirt-CoR-vda", device.Inserted?.NodeName);
        Assert.Equal("copy-on-read", device.Inserted?.Driver);
        Assert.False(device.Inserted?.ReadOnly);
        // The filter's image has the overlay below it, and that the middle layer.
        var image = Assert.IsType<BlockImage>(device.Inserted?.Image.BackingImage?.BackingImage);
        Assert.Equal(("qcow2", 268435456L, 65536L), (image.Format, image.VirtualSize, image.ClusterSize));
        Assert.Equal("base.raw", image.BackingFilename);
        Assert.Equal("/images/base.raw", image.FullBackingFilename);
        Assert.Equal("/images/base.raw", image.BackingImage?.Filename);
        Assert.Null(image.BackingImage?.ClusterSize);
    }

    [Fact]
    public async Task An_empty_drive_has_no_medium()
    {
        var devices = await Answering(Captured.MixedBlock).QueryBlockAsync(Token);

        Assert.Null(Assert.Single(devices, device => device.Qdev == "ide0-1-0").Inserted);
    }

    [Fact]
    public async Task The_graph_has_named_nodes_and_edges()
    {
        var graph = await Answering(Captured.LibvirtGraph).QueryBlockGraphAsync(Token);

        Assert.Contains(new BlockGraphNode(4, "block-driver", "libvirt-1-format"), graph.Nodes);
        Assert.Contains(new BlockGraphEdge(4, 8, "backing"), graph.Edges);
    }

    [Fact]
    public async Task Jobs_are_read_in_both_forms()
    {
        var jobs = await Answering(Captured.BlockJobs).QueryBlockJobsAsync(Token);
        var stream = Assert.Single(jobs, job => job.Type == "stream");
        Assert.Equal(("s", 8388608L, 1L, "running"), (stream.Device, stream.Len, stream.Speed, stream.Status));

        var all = await Answering(Captured.Jobs).QueryJobsAsync(Token);
        Assert.Equal(8388608, Assert.Single(all, job => job.Id == "s").TotalProgress);
        Assert.Null(all[0].Error);

        var failed = await Answering(
            """[{"current-progress":65536,"status":"concluded","total-progress":65536,"type":"stream","id":"s","error":"Input/output error"}]""")
            .QueryJobsAsync(Token);
        Assert.Equal("Input/output error", failed[0].Error);
    }

    [Fact]
    public async Task Stats_are_found_by_device()
    {
        var stats = await Answering(Captured.BlockStats).QueryBlockStatsAsync(Token);

        Assert.Equal("scsi0-0-0-0", stats[0].Qdev);
        Assert.Equal(0, stats[0].Stats.ReadBytes);
        Assert.Null(stats[0].Stats.IdleNanoseconds);
    }

    [Theory]
    [InlineData("""{"return":{}}""")]
    [InlineData("""{"return":null}""")]
    [InlineData("""{"return":[{"qdev":"x"}]}""")]
    [InlineData("""{"return":[{"device":null}]}""")]
    [InlineData("""{"return":[{"device":"","inserted":{"drv":"qcow2","ro":"no"}}]}""")]
    public async Task A_result_of_another_shape_is_a_broken_link(string answer)
    {
        await Assert.ThrowsAsync<QmpException>(() => new ScriptedMonitor(answer).QueryBlockAsync(Token));
    }

    [Fact]
    public async Task A_chain_of_two_hundred_layers_is_read()
    {
        var json = new StringBuilder();
        for (var i = 0; i < 200; i++)
            json.Append("""{"filename":"f","format":"qcow2","virtual-size":1,"backing-image":""");
        json.Append("""{"filename":"f","format":"raw","virtual-size":1}""").Append('}', 200);

        var devices = await Answering($$$"""[{"device":"","inserted":{"drv":"qcow2","ro":false,"image":{{{json}}} }}]""").QueryBlockAsync(Token);

        var depth = 0;
        for (var image = devices[0].Inserted?.Image; image is not null; image = image.BackingImage)
            depth++;
        Assert.Equal(201, depth);
    }

    [Fact]
    public async Task The_server_is_started_on_a_path()
    {
        var monitor = new ScriptedMonitor(Done);

        await monitor.NbdServerStartAsync("/run/s.sock", 4, Token);

        Assert.Equal(
            ["""{"execute":"nbd-server-start","arguments":{"addr":{"type":"unix","data":{"path":"/run/s.sock"}},"max-connections":4}}"""],
            monitor.Sent);
    }

    [Fact]
    public async Task The_server_is_started_on_a_port_with_and_without_certificates()
    {
        var monitor = new ScriptedMonitor(Done, Done);

        await monitor.NbdServerStartAsync(new IPEndPoint(IPAddress.Parse("fd00::2"), 10810), null, 0, Token);
        await monitor.NbdServerStartAsync(new IPEndPoint(IPAddress.Parse("10.0.0.2"), 10811), "tls", 0, Token);

        Assert.Equal(
            [
                """{"execute":"nbd-server-start","arguments":{"addr":{"type":"inet","data":{"host":"fd00::2","port":"10810"}},"max-connections":0}}""",
                """{"execute":"nbd-server-start","arguments":{"addr":{"type":"inet","data":{"host":"10.0.0.2","port":"10811"}},"tls-creds":"tls","max-connections":0}}""",
            ],
            monitor.Sent);
    }

    [Fact]
    public async Task A_listener_is_handed_over_under_a_name_and_then_used()
    {
        var monitor = new ScriptedMonitor(Done, Done);
        using var listener = new SafeFileHandle(-1, ownsHandle: false);

        await monitor.NbdServerStartAsync(listener, cancellationToken: Token);

        Assert.Equal([1, 0], monitor.FileCounts);
        Assert.Matches("""^\{"execute":"getfd","arguments":\{"fdname":"nbd-[0-9a-f]{32}"\}\}$""", monitor.Sent[0]);
        var name = monitor.Sent[0][(monitor.Sent[0].IndexOf("nbd-", StringComparison.Ordinal))..].TrimEnd('}', '"');
        Assert.Equal(
            """{"execute":"nbd-server-start","arguments":{"addr":{"type":"fd","data":{"str":"NAME"}}}}""".Replace("NAME", name, StringComparison.Ordinal),
            monitor.Sent[1]);
    }

    [Fact]
    public async Task A_listener_that_is_refused_does_not_stay_open_in_QEMU()
    {
        const string Refusal = """{"error":{"class":"GenericError","desc":"NBD server already running"}}""";
        var monitor = new ScriptedMonitor(Done, Refusal, Done);
        using var listener = new SafeFileHandle(-1, ownsHandle: false);

        var refusal = await Assert.ThrowsAsync<QmpCommandException>(
            () => monitor.NbdServerStartAsync(listener, cancellationToken: Token));

        Assert.Equal("NBD server already running", refusal.Description);
        Assert.Contains("closefd", monitor.Sent[2], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Exports_are_added_and_taken_back()
    {
        var monitor = new ScriptedMonitor(Done, Done, Done, """{"return":[{"id":"e","type":"nbd","node-name":"n","shutting-down":true}]}""");

        await monitor.BlockExportAddAsync("e", "n", "vda", cancellationToken: Token);
        await monitor.BlockExportDelAsync("e", hard: true, Token);
        await monitor.NbdServerStopAsync(Token);
        var left = await monitor.QueryBlockExportsAsync(Token);

        Assert.Equal(
            [
                """{"execute":"block-export-add","arguments":{"type":"nbd","id":"e","node-name":"n","name":"vda","writable":false,"allocation-depth":true}}""",
                """{"execute":"block-export-del","arguments":{"id":"e","mode":"hard"}}""",
                """{"execute":"nbd-server-stop"}""",
                """{"execute":"query-block-exports"}""",
            ],
            monitor.Sent);
        Assert.Equal(new BlockExport("e", "nbd", "n", true), Assert.Single(left));
    }

    [Fact]
    public async Task A_stream_job_is_begun_and_told_what_to_do()
    {
        var monitor = new ScriptedMonitor(Done, Done, Done, Done);

        await monitor.BlockStreamAsync("j", "n", "b", 65536, cancellationToken: Token);
        await monitor.BlockStreamAsync("j", "n", autoFinalize: true, autoDismiss: true, onError: "stop", cancellationToken: Token);
        await monitor.BlockJobSetSpeedAsync("j", 0, Token);
        await monitor.JobFinalizeAsync("j", Token);

        Assert.Equal(
            [
                """{"execute":"block-stream","arguments":{"job-id":"j","device":"n","speed":65536,"auto-finalize":false,"auto-dismiss":false,"on-error":"report","base-node":"b"}}""",
                """{"execute":"block-stream","arguments":{"job-id":"j","device":"n","speed":0,"auto-finalize":true,"auto-dismiss":true,"on-error":"stop"}}""",
                """{"execute":"block-job-set-speed","arguments":{"device":"j","speed":0}}""",
                """{"execute":"job-finalize","arguments":{"id":"j"}}""",
            ],
            monitor.Sent);
    }

    private static ScriptedMonitor Answering(string result) => new($$"""{"return":{{result}}}""");
}
