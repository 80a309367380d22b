using Microsoft.Extensions.Time.Testing;
using StreamService.Streaming;

namespace StreamService.Tests.Streaming;

public sealed class SectorThrottleTests
{
    private const long KiB = 1 << 10;
    private const long MiB = 1 << 20;
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(100);

    public static TheoryData<long, int, int> Paces
    {
        get
        {
            var random = new Random(1);
            var paces = new TheoryData<long, int, int>();
            foreach (var pace in new[] { 64 * KiB, 1 * MiB, 10 * MiB, 100 * MiB })
                paces.Add(pace, (int)(64 * KiB), random.Next());
            for (var i = 0; i < 40; i++)
                paces.Add((long)(16 * KiB * Math.Pow(2, random.NextDouble() * 13)), 1 << random.Next(12, 18), random.Next());
            return paces;
        }
    }

    [Theory]
    [MemberData(nameof(Paces))]
    public async Task Any_tenth_of_a_second_has_the_pace_and_one_unit_at_most_and_the_long_run_has_the_pace(long pace, int cluster, int seed)
    {
        var random = new Random(seed);
        var clock = new LateClock(random);
        var throttle = new SectorThrottle(pace, cluster, clock);
        var sent = new List<(TimeSpan At, long Bytes)>();
        // Long enough that the last request is less than 1 % of it all.
        var enough = Math.Max(20 * pace, 400L * throttle.NextRequestSize);
        for (long total = 0; total < enough; total += sent[^1].Bytes)
        {
            // Now and then the end of an extent cuts a request off.
            var bytes = random.Next(4) == 0 ? random.Next(1, throttle.NextRequestSize / 512) * 512 : throttle.NextRequestSize;
            await throttle.WaitAsync(bytes, CancellationToken.None);
            sent.Add((clock.Now, bytes));
        }

        var unit = throttle.NextRequestSize + Math.Min(throttle.NextRequestSize, pace * 0.05);
        AssertBound(sent, unit, _ => pace);
        var mean = sent.Sum(request => request.Bytes) / sent[^1].At.TotalSeconds;
        Assert.InRange(mean / pace, 0.99, 1.01);
    }

    [Fact]
    public async Task An_idle_spell_saves_up_no_more_than_the_credit()
    {
        var clock = new LateClock(new Random(2));
        var throttle = new SectorThrottle(10 * MiB, (int)(64 * KiB), clock);
        var sent = new List<(TimeSpan At, long Bytes)>();
        for (var i = 0; i < 300; i++)
        {
            if (i % 20 == 0)
                clock.Advance(TimeSpan.FromSeconds(30));
            await throttle.WaitAsync(throttle.NextRequestSize, CancellationToken.None);
            sent.Add((clock.Now, throttle.NextRequestSize));
        }
        AssertBound(sent, 2.0 * throttle.NextRequestSize, _ => 10 * MiB);
    }

    [Theory]
    [InlineData(256 * KiB)]
    [InlineData(10 * MiB)]
    public async Task What_a_flush_holds_up_every_few_seconds_is_made_up_for(long pace)
    {
        var clock = new LateClock(new Random(4));
        var throttle = new SectorThrottle(pace, (int)(64 * KiB), clock);
        var sent = new List<(TimeSpan At, long Bytes)>();
        var flushAt = TimeSpan.FromSeconds(5);
        while (clock.Now < TimeSpan.FromSeconds(100))
        {
            await throttle.WaitAsync(throttle.NextRequestSize, CancellationToken.None);
            sent.Add((clock.Now, throttle.NextRequestSize));
            if (clock.Now < flushAt)
                continue;
            clock.Advance(TimeSpan.FromMilliseconds(180));
            flushAt += TimeSpan.FromSeconds(5);
        }
        AssertBound(sent, throttle.NextRequestSize + Math.Min(throttle.NextRequestSize, pace * 0.05), _ => pace);
        Assert.InRange(sent.Sum(request => request.Bytes) / clock.Now.TotalSeconds / pace, 0.99, 1.01);
    }

    [Fact]
    public async Task Changes_up_and_down_keep_the_bound_of_the_paces_that_were_in_force()
    {
        var random = new Random(3);
        var clock = new LateClock(random);
        var throttle = new SectorThrottle(MiB, 4096, clock);
        var sent = new List<(TimeSpan At, long Bytes)>();
        var fastest = MiB;
        var paces = new List<(TimeSpan At, long Pace)> { (TimeSpan.Zero, MiB) };
        for (var i = 0; i < 3000; i++)
        {
            if (i % 30 == 29)
            {
                throttle.BytesPerSecond = (long)(64 * KiB * Math.Pow(2, random.NextDouble() * 10));
                paces.Add((clock.Now, throttle.BytesPerSecond));
                fastest = Math.Max(fastest, throttle.BytesPerSecond);
            }
            await throttle.WaitAsync(throttle.NextRequestSize, CancellationToken.None);
            sent.Add((clock.Now, throttle.NextRequestSize));
        }
        // The largest unit of a pace: half of the largest request, and as much credit. One of each pace within the moment.
        var inForce = (TimeSpan begin) => paces.Where((pace, i) => pace.At <= begin + Moment && (i + 1 == paces.Count || paces[i + 1].At >= begin)).ToList();
        AssertBound(sent, 0, begin => (long)(inForce(begin).Max(pace => pace.Pace) + (10 * inForce(begin).Count * 2.0 * SectorThrottle.LargestPacedRequest)));
    }

    [Fact]
    public async Task Change_of_pace_reaches_whoever_waits_at_once()
    {
        var clock = new FakeTimeProvider();
        var throttle = new SectorThrottle(1, 64 << 10, clock);
        await throttle.WaitAsync(64 << 10, CancellationToken.None);
        // At one byte a second this is 18 hours.
        var waiting = throttle.WaitAsync(64 << 10, CancellationToken.None).AsTask();
        Assert.False(waiting.IsCompleted);

        throttle.BytesPerSecond = 2;
        Assert.False(waiting.IsCompleted);
        throttle.BytesPerSecond = 0;
        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task Faster_pace_pays_the_old_debt_at_its_own_speed()
    {
        var clock = new FakeTimeProvider();
        var throttle = new SectorThrottle(64 << 10, 64 << 10, clock);
        await throttle.WaitAsync(64 << 10, CancellationToken.None);
        var waiting = throttle.WaitAsync(64 << 10, CancellationToken.None).AsTask();
        throttle.BytesPerSecond = 64 << 20;
        clock.Advance(TimeSpan.FromMilliseconds(5));
        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task Slower_pace_does_not_stretch_the_debt_of_the_faster_one()
    {
        var clock = new FakeTimeProvider();
        var throttle = new SectorThrottle(64 << 20, 4096, clock);
        await throttle.WaitAsync(throttle.NextRequestSize, CancellationToken.None);
        throttle.BytesPerSecond = 4096;
        // The half mebibyte owed would be two minutes; one unit of the new pace is a second.
        var waiting = throttle.WaitAsync(throttle.NextRequestSize, CancellationToken.None).AsTask();
        clock.Advance(TimeSpan.FromSeconds(1));
        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public void Unlimited_never_waits_and_leaves_no_debt()
    {
        var clock = new FakeTimeProvider();
        var throttle = new SectorThrottle(0, 64 << 10, clock);
        Assert.Equal(SectorThrottle.LargestRequest, throttle.NextRequestSize);
        for (var i = 0; i < 10_000; i++)
            Assert.True(MayGoNow(throttle, throttle.NextRequestSize));
        throttle.BytesPerSecond = MiB;
        Assert.True(MayGoNow(throttle, throttle.NextRequestSize));
        Assert.False(MayGoNow(throttle, throttle.NextRequestSize));
        throttle.BytesPerSecond = 0;
        Assert.True(MayGoNow(throttle, 1 << 20));
    }

    [Fact]
    public async Task Cancelled_wait_takes_nothing()
    {
        var clock = new FakeTimeProvider();
        var throttle = new SectorThrottle(MiB, 64 << 10, clock);
        await throttle.WaitAsync(64 << 10, CancellationToken.None);
        using var enough = new CancellationTokenSource();
        var waiting = throttle.WaitAsync(64 << 10, enough.Token).AsTask();
        await enough.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(TimeSpan.FromSeconds(10)));
        clock.Advance(TimeSpan.FromSeconds(1.0 / 16));
        Assert.True(MayGoNow(throttle, 64 << 10));
    }

    [Theory]
    [InlineData(64 << 10, 64 << 10)]
    [InlineData(4 << 10, 4 << 10)]
    [InlineData(2 << 20, 2 << 20)]
    public void Requests_are_whole_clusters_small_when_slow_and_larger_when_fast(int cluster, int smallest)
    {
        var sizes = new[] { 1, 64 * KiB, MiB, 10 * MiB, 100 * MiB, 1 << 30 }
            .Select(pace => new SectorThrottle(pace, cluster, new FakeTimeProvider()).NextRequestSize).ToList();
        Assert.Equal(smallest, sizes[0]);
        Assert.Equal(sizes.Order(), sizes);
        Assert.All(sizes, size => Assert.Equal(0, size % cluster));
        Assert.All(sizes, size => Assert.True(size <= Math.Max(cluster, SectorThrottle.LargestPacedRequest)));
    }

    private static bool MayGoNow(SectorThrottle throttle, int bytes) => throttle.WaitAsync(bytes, CancellationToken.None).AsTask().IsCompletedSuccessfully;

    private static void AssertBound(List<(TimeSpan At, long Bytes)> sent, double unit, Func<TimeSpan, long> pace)
    {
        long within = 0;
        for (int first = 0, next = 0; first < sent.Count; within -= sent[first++].Bytes)
        {
            for (; next < sent.Count && sent[next].At - sent[first].At <= Moment; next++)
                within += sent[next].Bytes;
            var bound = (pace(sent[first].At) * Moment.TotalSeconds) + unit;
            Assert.True(within <= bound + 1, $"{within} bytes in the tenth of a second from {sent[first].At} on; {bound} are the bound.");
        }
    }

    /// <summary>A clock on which every timer is due at once for whoever waits, and some milliseconds late, as real ones are.</summary>
    private sealed class LateClock(Random random) : TimeProvider
    {
        private long _ticks;

        public TimeSpan Now => TimeSpan.FromTicks(_ticks);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Advance(TimeSpan time) => _ticks += time.Ticks;

        public override long GetTimestamp() => _ticks;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime >= TimeSpan.Zero)
            {
                Advance(dueTime + TimeSpan.FromMilliseconds(random.NextDouble() * 4));
                // Not within the call: whoever made the timer does not have it yet.
                ThreadPool.QueueUserWorkItem(_ => callback(state));
            }
            return new Timer();
        }

        private sealed class Timer : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
