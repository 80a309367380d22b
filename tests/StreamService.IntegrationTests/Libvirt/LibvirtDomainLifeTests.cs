using StreamService.Qemu.Libvirt;

namespace StreamService.IntegrationTests.Libvirt;

[Trait("Category", "Slow")]
public sealed class LibvirtDomainLifeTests : IAsyncLifetime
{
    private LibvirtConnection _connection = null!;
    private TestDomain _test = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private LibvirtDomain Domain => _test.Domain;

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        _connection = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri, cancellationToken: Token);
        _test = await TestDomain.CreateAsync(_connection, start: false, Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (_test is not null)
            await _test.DisposeAsync();
        if (_connection is not null)
            await _connection.DisposeAsync();
    }

    [Fact]
    public async Task A_definition_may_start_with_the_host()
    {
        Assert.True(await Domain.IsPersistentAsync(Token));
        Assert.False(await Domain.GetAutostartAsync(Token));
        await Domain.SetAutostartAsync(true, Token);
        Assert.True(await Domain.GetAutostartAsync(Token));
        await Domain.SetAutostartAsync(false, Token);
        Assert.False(await Domain.GetAutostartAsync(Token));
    }

    [Fact]
    public async Task The_number_is_that_of_the_present_run()
    {
        Assert.Null(await Domain.GetIdAsync(Token));
        await Domain.CreateAsync(Token);
        var first = await Domain.GetIdAsync(Token);
        Assert.True(first > 0);
        await Domain.DestroyAsync(Token);
        Assert.Null(await Domain.GetIdAsync(Token));
        await Domain.CreateAsync(Token);
        Assert.True(await Domain.GetIdAsync(Token) > first);

        await Domain.DestroyAsync(Token);
        await Domain.UndefineAsync(cancellationToken: Token);
        var error = await Assert.ThrowsAsync<LibvirtException>(() => Domain.GetIdAsync(Token));
        Assert.Equal(LibvirtErrorCode.NoDomain, error.Code);
    }

    [Fact]
    public async Task A_domain_at_rest_has_no_job()
    {
        await Domain.CreateAsync(Token);

        Assert.Null(await Domain.GetJobAsync(Token));
        Assert.Null(await Domain.GetLastJobAsync(Token));
    }

    [Fact]
    public async Task A_snapshot_is_committed_and_pivoted_away()
    {
        await Domain.CreateAsync(Token);
        await Domain.SnapshotCreateXmlAsync(
            $"<domainsnapshot><disks><disk name='vda'><source file='{_test.PathOf("snap.qcow2")}'/></disk></disks></domainsnapshot>",
            SnapshotCreateOptions.DiskOnly | SnapshotCreateOptions.NoMetadata | SnapshotCreateOptions.Atomic,
            Token);
        using var events = _connection.Subscribe();

        var inactive = await Assert.ThrowsAsync<LibvirtException>(
            () => Domain.BlockCommitAsync("vda", null, null, 0, BlockCommitOptions.Shallow, Token));
        Assert.Contains("active", inactive.Message, StringComparison.Ordinal);
        await Domain.BlockCommitAsync(
            "vda", _test.PathOf("top.qcow2"), null, 1 << 20, BlockCommitOptions.Active | BlockCommitOptions.Shallow, Token);
        Assert.Equal(BlockJobStatus.Ready, await NextAsync(events));
        var job = await Domain.GetBlockJobInfoAsync("vda", Token);
        Assert.Equal((BlockJobType.ActiveCommit, 1L << 20), (job?.Type, job?.BandwidthBytes));
        await Domain.BlockJobAbortAsync("vda", async: false, pivot: true, Token);
        Assert.Equal(BlockJobStatus.Completed, await NextAsync(events));

        var disk = Assert.Single(DomainXml.Parse(await Domain.GetXmlAsync(cancellationToken: Token)).Disks);
        Assert.Equal(_test.PathOf("top.qcow2"), disk.Source);
        Assert.Single(disk.BackingChain);
    }

    [Fact]
    public async Task A_migration_to_the_host_itself_is_refused_with_its_parameters_understood()
    {
        await Domain.CreateAsync(Token);
        await using var destination = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri, cancellationToken: Token);

        var error = await Assert.ThrowsAsync<LibvirtException>(() => Domain.MigrateAsync(
            destination,
            [new("migrate_disks", "vda"), new("bandwidth", 100UL)],
            MigrateOptions.Live | MigrateOptions.NonSharedIncremental,
            TestDomain.Deadline,
            Token));

        Assert.False(error.IsCallTimeout);
        Assert.Contains("host", error.Message, StringComparison.Ordinal);
        Assert.Equal(DomainState.Running, (await Domain.GetStateAsync(Token)).State);
    }

    private async Task<BlockJobStatus> NextAsync(LibvirtSubscription events)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(TestDomain.Deadline);
        await foreach (var happened in events.Reader.ReadAllAsync(deadline.Token))
        {
            if (happened is BlockJobEvent job && job.Uuid == Domain.Uuid)
                return job.Status;
        }

        throw new InvalidOperationException("The events ended.");
    }
}
