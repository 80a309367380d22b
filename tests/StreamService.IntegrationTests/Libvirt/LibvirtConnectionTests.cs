using StreamService.Qemu.Libvirt;

namespace StreamService.IntegrationTests.Libvirt;

public sealed class LibvirtConnectionTests : IAsyncLifetime
{
    internal const string Uri = "qemu:///system";

    private LibvirtConnection _connection = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        _connection = await LibvirtConnection.OpenAsync(Uri, cancellationToken: Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (_connection is not null)
            await _connection.DisposeAsync();
    }

    [Fact]
    public async Task A_connection_tells_host_hypervisor_and_versions()
    {
        Assert.NotEmpty(await _connection.GetHostNameAsync(Token));
        var hypervisor = await _connection.GetHypervisorVersionAsync(Token);
        Assert.Equal("QEMU", hypervisor.Type);
        Assert.True(hypervisor.Version.Major >= 4, hypervisor.Version.ToString());
        Assert.True((await _connection.GetLibraryVersionAsync(Token)).Major >= 6);
        Assert.False(_connection.Closed.IsCompleted);
    }

    [Fact]
    public async Task A_domain_is_defined_listed_started_and_stopped()
    {
        await using var test = await TestDomain.CreateAsync(_connection, start: false, Token);
        var listed = Assert.Single(await _connection.ListDomainsAsync(Token), domain => domain.Name == test.Name);
        Assert.Equal((test.Domain.Uuid, null, DomainState.ShutOff), (listed.Uuid, listed.Id, listed.State));

        await test.Domain.CreateAsync(Token);
        Assert.Equal(DomainState.Running, (await test.Domain.GetStateAsync(Token)).State);
        listed = Assert.Single(await _connection.ListDomainsAsync(Token), domain => domain.Uuid == test.Domain.Uuid);
        Assert.Equal(DomainState.Running, listed.State);
        Assert.True(listed.Id > 0);

        await test.Domain.SuspendAsync(Token);
        Assert.Equal(DomainState.Paused, (await test.Domain.GetStateAsync(Token)).State);
        await test.Domain.ResumeAsync(Token);
        using var found = await _connection.LookupByNameAsync(test.Name, Token);
        Assert.Equal(test.Domain.Uuid, found.Uuid);
        await found.DestroyAsync(Token);
        await found.UndefineAsync(UndefineOptions.None, Token);
        Assert.DoesNotContain(await _connection.ListDomainsAsync(Token), domain => domain.Name == test.Name);
    }

    [Fact]
    public async Task An_unknown_domain_is_an_error_of_its_own()
    {
        var error = await Assert.ThrowsAsync<LibvirtException>(() => _connection.LookupByUuidAsync(Guid.NewGuid(), Token));

        Assert.Equal(LibvirtErrorCode.NoDomain, error.Code);
        Assert.Equal(42, (int)error.Code);
        Assert.Equal(10, error.Domain);
        Assert.Equal(2, error.Level);
        Assert.Contains("no domain with matching uuid", error.Message, StringComparison.OrdinalIgnoreCase);
        Assert.False(error.IsConnectionFailure);
        Assert.Equal(
            LibvirtErrorCode.NoDomain,
            (await Assert.ThrowsAsync<LibvirtException>(() => _connection.LookupByNameAsync("lv-none", Token))).Code);
    }

    [Fact]
    public async Task A_description_that_libvirt_refuses_is_told_in_its_words()
    {
        var error = await Assert.ThrowsAsync<LibvirtException>(() => _connection.DefineXmlAsync("<domain type='qemu'>", Token));

        Assert.Equal(LibvirtErrorCode.XmlDetail, error.Code);
        Assert.NotEmpty(error.Message);
    }

    [Fact]
    public async Task Lifecycle_events_arrive_in_order_until_the_subscription_ends()
    {
        using var events = _connection.Subscribe();
        Guid uuid;
        await using (var test = await TestDomain.CreateAsync(_connection, start: true, Token))
            uuid = test.Domain.Uuid;

        var seen = new List<DomainLifecycle>();
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(TestDomain.Deadline);
        await foreach (var happened in events.Reader.ReadAllAsync(deadline.Token))
        {
            if (happened is DomainLifecycleEvent lifecycle && happened.Uuid == uuid)
                seen.Add(lifecycle.Event);
            if (seen.Contains(DomainLifecycle.Undefined))
                break;
        }

        Assert.Equal(
            [DomainLifecycle.Defined, DomainLifecycle.Started, DomainLifecycle.Stopped, DomainLifecycle.Undefined],
            seen.Where(one => one is not (DomainLifecycle.Resumed or DomainLifecycle.Shutdown)));
        events.Dispose();
        // What happened to other domains meanwhile is still there to be read; then it ends.
        while (events.Reader.TryRead(out _))
            continue;
        await events.Reader.Completion.WaitAsync(TestDomain.Deadline, Token);
    }

    [Fact]
    public async Task A_disposed_connection_ends_its_events_and_refuses_calls()
    {
        var connection = await LibvirtConnection.OpenAsync(Uri, cancellationToken: Token);
        using var events = connection.Subscribe();

        await connection.DisposeAsync();
        await connection.DisposeAsync();

        Assert.Equal(LibvirtCloseReason.Client, await connection.Closed);
        await events.Reader.Completion.WaitAsync(TestDomain.Deadline, Token);
        await connection.Subscribe().Reader.Completion.WaitAsync(TestDomain.Deadline, Token);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => connection.GetHostNameAsync(Token));
    }

    [Fact]
    public async Task Two_hundred_calls_at_once_all_come_back_right()
    {
        await using var test = await TestDomain.CreateAsync(_connection, start: true, Token);
        var host = await _connection.GetHostNameAsync(Token);

        await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
        {
            switch (i % 5)
            {
                case 0:
                    Assert.Equal(host, await _connection.GetHostNameAsync(Token));
                    break;
                case 1:
                    Assert.Contains(test.Name, await test.Domain.GetXmlAsync(cancellationToken: Token), StringComparison.Ordinal);
                    break;
                case 2:
                    Assert.Contains("return", await test.Domain.MonitorCommandAsync("""{"execute":"query-jobs"}""", Token), StringComparison.Ordinal);
                    break;
                case 3:
                    using (var found = await _connection.LookupByUuidAsync(test.Domain.Uuid, Token))
                        Assert.Equal(DomainState.Running, (await found.GetStateAsync(Token)).State);
                    break;
                default:
                    await Assert.ThrowsAsync<LibvirtException>(() => _connection.LookupByNameAsync($"lv-none-{i}", Token));
                    break;
            }
        })).WaitAsync(TestDomain.Deadline, Token);

        Assert.Equal(0, _connection.StuckCalls);
    }
}
