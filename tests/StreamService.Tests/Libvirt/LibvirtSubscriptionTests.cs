using StreamService.Qemu.Libvirt;

namespace StreamService.Tests.Libvirt;

public sealed class LibvirtSubscriptionTests
{
    private static readonly DomainLifecycleEvent Started = new(Guid.Empty, "n", DomainLifecycle.Started, 0);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_is_read_too_slowly_ends_in_an_error_and_not_in_a_gap()
    {
        var hub = new EventHub();
        using var slow = hub.Subscribe(backlog: 2);
        using var other = hub.Subscribe(backlog: 100);

        for (var i = 0; i < 3; i++)
            hub.Post(Started);

        Assert.Equal(Started, await slow.Reader.ReadAsync(Token));
        Assert.Equal(Started, await slow.Reader.ReadAsync(Token));
        await Assert.ThrowsAsync<LibvirtException>(() => slow.Reader.Completion);
        Assert.Equal(3, other.Reader.Count);
    }

    [Fact]
    public async Task Closing_tells_the_first_reason_and_completes_what_was_and_will_be_subscribed()
    {
        var hub = new EventHub();
        using var before = hub.Subscribe(1);
        hub.Close(LibvirtCloseReason.KeepAlive);
        hub.Close(LibvirtCloseReason.Client);
        using var after = hub.Subscribe(1);

        await before.Reader.Completion;
        await after.Reader.Completion;
        Assert.Equal(LibvirtCloseReason.KeepAlive, await hub.Closed);
    }

    [Fact]
    public async Task A_disposed_subscription_hears_no_more()
    {
        var hub = new EventHub();
        var subscription = hub.Subscribe(1);

        subscription.Dispose();
        hub.Post(Started);

        await subscription.Reader.Completion;
    }
}
