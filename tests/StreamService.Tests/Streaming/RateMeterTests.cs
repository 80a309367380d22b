using Microsoft.Extensions.Time.Testing;
using StreamService.Streaming;

namespace StreamService.Tests.Streaming;

public sealed class RateMeterTests
{
    private readonly FakeTimeProvider _clock = new();

    [Fact]
    public void Rate_is_the_mean_of_the_last_seconds()
    {
        var meter = new RateMeter(_clock);
        Assert.Equal(0, meter.Observe(5000));
        Assert.Equal(0, meter.Observe(6000)); // no time has passed: no rate, and no infinity
        long bytes = 6000;
        for (var i = 0; i < 40; i++)
            Step(1000);
        Assert.Equal(4000, Step(1000));
        // It follows a change within its window of three seconds.
        for (var i = 0; i < 13; i++)
            Step(0);
        Assert.Equal(0, Step(0));

        long Step(long more)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(250));
            return meter.Observe(bytes += more);
        }
    }

    [Fact]
    public void Counter_that_went_back_starts_anew_and_is_never_a_negative_rate()
    {
        var meter = new RateMeter(_clock);
        meter.Observe(1_000_000);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(0, meter.Observe(500));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(100, meter.Observe(600));
    }

    [Fact]
    public void After_a_long_silence_the_rate_is_that_of_the_silence()
    {
        var meter = new RateMeter(_clock);
        meter.Observe(0);
        _clock.Advance(TimeSpan.FromSeconds(1));
        meter.Observe(1000);
        _clock.Advance(TimeSpan.FromSeconds(100));
        Assert.InRange(meter.Observe(2000), 9, 20);
    }
}
