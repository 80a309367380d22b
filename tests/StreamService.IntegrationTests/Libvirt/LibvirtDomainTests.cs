using System.Net.Sockets;
using StreamService.Qemu.Libvirt;
using StreamService.Qemu.Qmp;

namespace StreamService.IntegrationTests.Libvirt;

public sealed class LibvirtDomainTests : IAsyncLifetime
{
    private LibvirtConnection _connection = null!;
    private TestDomain _test = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private LibvirtDomain Domain => _test.Domain;

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        _connection = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri, cancellationToken: Token);
        _test = await TestDomain.CreateAsync(_connection, start: true, Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (_test is not null)
            await _test.DisposeAsync();
        if (_connection is not null)
            await _connection.DisposeAsync();
    }

    [Fact]
    public async Task The_description_tells_the_chain_and_the_disk_its_sizes()
    {
        var disk = Assert.Single(await DisksAsync());
        Assert.Equal(("vda", "virtio-disk0", "qcow2", true), (disk.Target, disk.Alias, disk.Format, disk.CopyOnRead));
        Assert.Equal(_test.PathOf("top.qcow2"), disk.Source);
        var backing = Assert.Single(disk.BackingChain);
        Assert.Equal((_test.PathOf("base.raw"), "raw"), (backing.Source, backing.Format));

        Assert.Equal(4 * 1024 * 1024, (await Domain.GetBlockInfoAsync("vda", Token)).Capacity);
        Assert.True((await Domain.GetBlockStatsAsync("vda", Token)).ReadBytes >= 0);
        Assert.Null(await Domain.GetBlockJobInfoAsync("vda", Token));
        var error = await Assert.ThrowsAsync<LibvirtException>(() => Domain.GetBlockInfoAsync("vdz", Token));
        Assert.Contains("vdz", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_monitor_answers_and_refuses_in_QEMUs_words()
    {
        var monitor = new LibvirtMonitor(Domain);

        var layer = await FindAsync(monitor);
        Assert.Equal(["libvirt-1-format", "libvirt-2-format"], layer.Chain);
        Assert.Contains(await monitor.QueryBlockStatsAsync(Token), stats => stats.Qdev == layer.Device.Qdev);
        Assert.Empty(await monitor.QueryJobsAsync(Token));
        Assert.Empty(await monitor.QueryBlockJobsAsync(Token));

        var refusal = await Assert.ThrowsAsync<QmpCommandException>(() => monitor.BlockExportDelAsync("none", hard: false, Token));
        Assert.Equal("GenericError", refusal.Class);
        Assert.Contains("none", refusal.Description, StringComparison.Ordinal);
        var unknown = await Assert.ThrowsAsync<QmpCommandException>(() => monitor.ExecuteAsync("no-such-command", null, null, Token));
        Assert.Equal("CommandNotFound", unknown.Class);
    }

    [Fact]
    public async Task A_listener_of_ours_becomes_the_server_of_an_export()
    {
        var monitor = new LibvirtMonitor(Domain);
        // CreateTempSubdirectory makes it 0700: QEMU's user could neither see nor make a socket in it.
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            using var listener = Listen(Path.Combine(folder.FullName, "nbd.sock"));
            await monitor.NbdServerStartAsync(listener.SafeHandle, cancellationToken: Token);
            var layer = await FindAsync(monitor);
            await monitor.BlockExportAddAsync("lv-export", layer.NodeName, "vda", cancellationToken: Token);
            var export = Assert.Single(await monitor.QueryBlockExportsAsync(Token));
            Assert.Equal(("lv-export", "nbd", layer.NodeName, false), (export.Id, export.Type, export.NodeName, export.ShuttingDown));

            using (var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
            {
                await client.ConnectAsync(new UnixDomainSocketEndPoint(Path.Combine(folder.FullName, "nbd.sock")), Token);
                var greeting = new byte[8];
                await using var stream = new NetworkStream(client);
                await stream.ReadExactlyAsync(greeting, Token).AsTask().WaitAsync(TestDomain.Deadline, Token);
                Assert.Equal("NBDMAGIC"u8.ToArray(), greeting);
            }

            using var second = Listen(Path.Combine(folder.FullName, "second.sock"));
            var refusal = await Assert.ThrowsAsync<QmpCommandException>(
                () => monitor.NbdServerStartAsync(second.SafeHandle, cancellationToken: Token));
            Assert.Contains("already running", refusal.Description, StringComparison.Ordinal);

            await monitor.BlockExportDelAsync("lv-export", hard: true, Token);
            await monitor.NbdServerStopAsync(Token);
            Assert.Empty(await monitor.QueryBlockExportsAsync(Token));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_pull_runs_to_its_end_and_its_event_is_seen()
    {
        using var events = _connection.Subscribe();

        await Domain.BlockPullAsync("vda", cancellationToken: Token);

        Assert.Equal((BlockJobType.Pull, BlockJobStatus.Completed), await EndOfJobAsync(events));
        Assert.Empty(Assert.Single(await DisksAsync()).BackingChain);
        Assert.Equal(["libvirt-1-format"], (await FindAsync(new LibvirtMonitor(Domain))).Chain);
    }

    [Fact]
    public async Task A_slow_pull_tells_its_pace_takes_another_and_is_aborted()
    {
        using var events = _connection.Subscribe();

        await Domain.BlockRebaseAsync("vda", null, 65536, cancellationToken: Token);
        var job = await Domain.GetBlockJobInfoAsync("vda", Token);
        Assert.Equal((BlockJobType.Pull, 65536L), (job?.Type, job?.BandwidthBytes));
        await Domain.BlockJobSetSpeedAsync("vda", 131072, Token);
        Assert.Equal(131072, (await Domain.GetBlockJobInfoAsync("vda", Token))?.BandwidthBytes);
        var second = await Assert.ThrowsAsync<LibvirtException>(() => Domain.BlockPullAsync("vda", cancellationToken: Token));
        Assert.Contains("vda", second.Message, StringComparison.Ordinal);
        await Domain.BlockJobAbortAsync("vda", async: false, pivot: false, Token);

        Assert.Equal((BlockJobType.Pull, BlockJobStatus.Canceled), await EndOfJobAsync(events));
        Assert.Null(await Domain.GetBlockJobInfoAsync("vda", Token));
        Assert.Single(Assert.Single(await DisksAsync()).BackingChain);
    }

    [Fact]
    public async Task A_snapshot_puts_an_overlay_on_top()
    {
        await Domain.SnapshotCreateXmlAsync(
            $"<domainsnapshot><disks><disk name='vda'><source file='{_test.PathOf("snap.qcow2")}'/></disk></disks></domainsnapshot>",
            SnapshotCreateOptions.DiskOnly | SnapshotCreateOptions.NoMetadata | SnapshotCreateOptions.Atomic,
            Token);

        var disk = Assert.Single(await DisksAsync());
        Assert.Equal(_test.PathOf("snap.qcow2"), disk.Source);
        Assert.Equal(2, disk.BackingChain.Count);
        Assert.Equal(3, (await FindAsync(new LibvirtMonitor(Domain))).Chain.Count);
    }

    [Fact]
    public async Task A_migration_that_cannot_be_is_refused_with_its_parameters_understood()
    {
        var error = await Assert.ThrowsAsync<LibvirtException>(() => Domain.MigrateToUri3Async(
            "qemu+unix:///system?socket=/nonexistent/libvirt-sock",
            [new("migrate_disks", "vda"), new("bandwidth", 100UL)],
            MigrateOptions.Live | MigrateOptions.PeerToPeer | MigrateOptions.NonSharedIncremental,
            TestDomain.Deadline,
            Token));

        Assert.False(error.IsCallTimeout);
        Assert.Contains("/nonexistent/libvirt-sock", error.Message, StringComparison.Ordinal);
        Assert.Equal(DomainState.Running, (await Domain.GetStateAsync(Token)).State);
    }

    private static Socket Listen(string path)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        return listener;
    }

    private static async Task<ActiveLayer> FindAsync(LibvirtMonitor monitor) => Assert.IsType<ActiveLayer>(ActiveLayer.Find(
        await monitor.QueryBlockAsync(Token), await monitor.QueryBlockGraphAsync(Token), "virtio-disk0"));

    private async Task<IReadOnlyList<DomainDisk>> DisksAsync() =>
        DomainXml.Parse(await Domain.GetXmlAsync(cancellationToken: Token)).Disks;

    private async Task<(BlockJobType Type, BlockJobStatus Status)> EndOfJobAsync(LibvirtSubscription events)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(TestDomain.Deadline);
        await foreach (var happened in events.Reader.ReadAllAsync(deadline.Token))
        {
            if (happened is BlockJobEvent job && job.Uuid == Domain.Uuid)
            {
                Assert.Equal("vda", job.Disk);
                return (job.Type, job.Status);
            }
        }

        throw new InvalidOperationException("The events ended.");
    }
}
