using Microsoft.Extensions.Time.Testing;
using StreamService.Hypervisors;
using StreamService.Streaming;

namespace StreamService.Tests.Streaming;

public sealed class GuestWatchTests
{
    private readonly FakeTimeProvider _clock = new();

    [Fact]
    public void Window_is_wide_while_the_guest_is_quiet_narrow_while_it_works_and_wide_again_half_a_second_later()
    {
        var watch = new GuestWatch(16, _clock);
        Assert.Equal(PopulateWindow.Wide(16), watch.WindowFor(StreamPolicy.Adaptive));
        // What it did before it was watched says nothing.
        watch.Observe(new GuestIo(1000, TimeSpan.Zero));
        Assert.Equal(PopulateWindow.Wide(16), watch.WindowFor(StreamPolicy.Adaptive));
        watch.Observe(new GuestIo(1000, TimeSpan.Zero));
        Assert.Equal(PopulateWindow.Wide(16), watch.WindowFor(StreamPolicy.Adaptive));

        watch.Observe(new GuestIo(1001, TimeSpan.Zero));
        Assert.Equal(PopulateWindow.Narrow, watch.WindowFor(StreamPolicy.Adaptive));
        Assert.Equal(PopulateWindow.Wide(16), watch.WindowFor(StreamPolicy.Fixed));
        _clock.Advance(GuestWatch.QuietAfter - TimeSpan.FromTicks(1));
        watch.Observe(new GuestIo(1001, TimeSpan.Zero));
        Assert.Equal(PopulateWindow.Narrow, watch.WindowFor(StreamPolicy.Adaptive));
        _clock.Advance(TimeSpan.FromTicks(1));
        Assert.Equal(PopulateWindow.Wide(16), watch.WindowFor(StreamPolicy.Adaptive));
    }

    [Fact]
    public void A_domain_that_started_again_counts_as_at_work()
    {
        var watch = new GuestWatch(16, _clock);
        watch.Observe(new GuestIo(1000, TimeSpan.Zero));
        watch.Observe(new GuestIo(3, TimeSpan.Zero));
        Assert.Equal(PopulateWindow.Narrow, watch.WindowFor(StreamPolicy.Adaptive));
    }

    [Fact]
    public void Window_is_never_wider_than_configured()
    {
        var watch = new GuestWatch(1, _clock);
        Assert.Equal(1, watch.WindowFor(StreamPolicy.Adaptive).InFlight);
        watch.Observe(new GuestIo(1, TimeSpan.Zero));
        watch.Observe(new GuestIo(2, TimeSpan.Zero));
        Assert.Equal(1, watch.WindowFor(StreamPolicy.Adaptive).InFlight);
        // QEMU's NBD server takes 16 of a connection; the narrow window keeps the guest's latency low.
        Assert.Equal((2, 1 << 20), (PopulateWindow.Narrow.InFlight, PopulateWindow.Narrow.RequestBytes));
    }
}
