using System.Diagnostics;
using StreamService.Qemu.Libvirt;

namespace StreamService.IntegrationTests.Libvirt;

/// <summary>A daemon that is not there, does not answer, or goes away.</summary>
[Trait("Category", "Slow")]
public sealed class LibvirtFaultTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    public LibvirtFaultTests() => Requires.Libvirt();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("qemu+unix:///system?socket=/nonexistent/libvirt-sock")]
    [InlineData("qemu+tcp://127.0.0.1:1/system")]
    [InlineData("nonsense:///")]
    public async Task A_dead_address_is_an_error_within_a_bound(string uri)
    {
        var error = await Assert.ThrowsAsync<LibvirtException>(() => OpenAsync(uri)).WaitAsync(Soon, Token);

        Assert.NotEqual(LibvirtErrorCode.None, error.Code);
        Assert.False(error.IsCallTimeout);
    }

    [Fact]
    public async Task A_daemon_that_never_answers_costs_no_more_than_the_limit()
    {
        using var proxy = new FreezableProxy(frozen: true);

        var error = await Assert.ThrowsAsync<LibvirtException>(() => OpenAsync(proxy.Uri)).WaitAsync(Soon, Token);

        Assert.True(error.IsCallTimeout, error.Message);
    }

    [Fact]
    public async Task Cancelling_frees_the_caller_at_once()
    {
        using var proxy = new FreezableProxy(frozen: false);
        await using var connection = await OpenAsync(proxy.Uri, callSeconds: 3600);
        proxy.Freeze();
        using var cancel = new CancellationTokenSource();
        var call = connection.GetHostNameAsync(cancel.Token);
        var since = Stopwatch.StartNew();

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        Assert.True(since.Elapsed < TimeSpan.FromSeconds(1), since.Elapsed.ToString());
        proxy.Cut();
        await connection.Closed.WaitAsync(Soon, Token);
    }

    [Fact]
    public async Task A_daemon_that_hangs_ends_calls_at_their_limit_and_then_the_connection()
    {
        using var proxy = new FreezableProxy(frozen: false);
        await using var connection = await OpenAsync(proxy.Uri, keepAliveSeconds: 1);
        using var events = connection.Subscribe();
        proxy.Freeze();

        var error = await Assert.ThrowsAsync<LibvirtException>(() => connection.GetHostNameAsync(Token)).WaitAsync(Soon, Token);
        Assert.True(error.IsCallTimeout, error.Message);
        Assert.Equal(LibvirtCloseReason.KeepAlive, await connection.Closed.WaitAsync(Soon, Token));
        await events.Reader.Completion.WaitAsync(Soon, Token);
        var later = await Assert.ThrowsAsync<LibvirtException>(() => connection.ListDomainsAsync(Token)).WaitAsync(Soon, Token);
        Assert.True(later.IsConnectionFailure, later.Message);
        Assert.Equal(0, connection.StuckCalls);
    }

    [Fact]
    public async Task A_connection_that_comes_too_late_is_closed_again()
    {
        using var proxy = new FreezableProxy(frozen: true);
        await Assert.ThrowsAsync<LibvirtException>(() => OpenAsync(proxy.Uri)).WaitAsync(Soon, Token);

        proxy.Thaw();

        await proxy.ClientLeft.WaitAsync(Soon, Token);
    }

    [Fact]
    public async Task A_daemon_that_goes_away_closes_the_connection()
    {
        using var proxy = new FreezableProxy(frozen: false);
        await using var connection = await OpenAsync(proxy.Uri);

        proxy.Cut();

        Assert.Equal(LibvirtCloseReason.EndOfFile, await connection.Closed.WaitAsync(Soon, Token));
        var error = await Assert.ThrowsAsync<LibvirtException>(() => connection.GetHostNameAsync(Token)).WaitAsync(Soon, Token);
        Assert.True(error.IsConnectionFailure, error.Message);
        await connection.DisposeAsync().AsTask().WaitAsync(Soon, Token);
    }

    [Fact]
    public async Task A_disposed_connection_leaves_no_socket_behind()
    {
        using var proxy = new FreezableProxy(frozen: false);
        await using (var connection = await OpenAsync(proxy.Uri))
        {
            await using var test = await TestDomain.CreateAsync(connection, start: false, Token);
            Assert.NotEmpty(await test.Domain.GetXmlAsync(cancellationToken: Token));
        }

        await proxy.ClientLeft.WaitAsync(Soon, Token);
    }

    [Fact]
    public async Task A_connection_to_a_daemon_that_hangs_is_disposed_within_a_bound()
    {
        using var proxy = new FreezableProxy(frozen: false);
        var connection = await OpenAsync(proxy.Uri);
        proxy.Freeze();

        await connection.DisposeAsync().AsTask().WaitAsync(Soon, Token);
    }

    private static Task<LibvirtConnection> OpenAsync(string uri, int callSeconds = 2, int keepAliveSeconds = 5) =>
        LibvirtConnection.OpenAsync(
            uri,
            new LibvirtConnectionOptions
            {
                ConnectTimeout = TimeSpan.FromSeconds(3),
                CallTimeout = TimeSpan.FromSeconds(callSeconds),
                KeepAliveSeconds = keepAliveSeconds,
            },
            Token);
}
