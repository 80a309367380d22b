using Microsoft.Extensions.Time.Testing;
using StreamService.Hypervisors;
using StreamService.Streaming;

namespace StreamService.Tests.Streaming;

/// <summary>The controller against a simple disk: the guest's latency grows with the stream's pace and width.</summary>
public sealed class AdaptiveControllerTests
{
    private const long MiB = 1 << 20;

    [Fact]
    public void A_quiet_guest_leaves_full_width()
    {
        var disk = new Disk();
        var pace = disk.Run(seconds: 2, operations: 0);

        Assert.Equal(new AdaptivePace(PopulateWindow.Wide(16), 0, null), pace);
    }

    [Fact]
    public void The_first_operation_closes_the_window_until_the_guest_alone_is_known()
    {
        var disk = new Disk();
        disk.Run(seconds: 1, operations: 0);

        Assert.Equal(0, disk.Step(operations: 20).Window.InFlight);
        Assert.Equal(0, disk.Step(operations: 20).Window.InFlight);
        var pace = disk.Step(operations: 20);

        Assert.Equal(new PopulateWindow(1, 64 << 10), pace.Window);
        Assert.Equal(16 * MiB, pace.BytesPerSecond);
    }

    [Fact]
    public void It_settles_where_the_guest_is_a_quarter_slower_than_alone()
    {
        var disk = new Disk { Alone = 0.2, PerMiB = 0.001, SourceLatency = 0.4 };
        disk.Run(seconds: 20, operations: 20);

        // 0.2 ms + 50 MiB/s × 0.001 ms = 0.25 ms.
        Assert.InRange(disk.MeanPace(seconds: 10, operations: 20) / MiB, 38, 52);
        Assert.InRange(disk.MeanLatency, 0.22, 0.26);
    }

    [Theory]
    [InlineData(0.2, 16)]
    [InlineData(0.4, 8)]
    [InlineData(20, 6)]
    public void A_guest_that_never_rests_meets_few_requests(double sourceLatency, int expected)
    {
        var disk = new Disk { Alone = 0.22, PerMiB = 0, SourceLatency = sourceLatency };
        disk.Run(seconds: 20, operations: 300);

        // 450 operations of 0.22 ms in 100 ms. One request of 64 KiB in 0.2 ms, 5 % of the time, is 16 MiB/s; of a slow source's
        // time no more than 0.5 ms are in the guest's way.
        AdaptivePace pace;
        do
            pace = disk.Step(operations: 300);
        while (pace.Window.InFlight == 0);
        Assert.InRange(pace.BytesPerSecond, (expected - 1) * MiB, (expected + 1) * MiB);
        Assert.Matches(@"^the guest is at work \d+ % of the time: \d+(\.\d)? MiB/s$", pace.Reason);
    }

    [Fact]
    public void The_less_the_guest_works_the_faster_it_streams()
    {
        var paces = new[] { 450, 100, 30, 5 }.Select(operations =>
        {
            var disk = new Disk { PerMiB = 0 };
            disk.Run(seconds: 20, operations);
            return disk.MeanPace(seconds: 10, operations);
        }).ToList();
        Assert.Equal(paces.Order(), paces);
        Assert.True(paces[^1] > 10 * paces[0], string.Join(" ", paces));
    }

    [Fact]
    public void A_given_target_is_kept_and_never_listened_for()
    {
        var disk = new Disk { Alone = 0.2, PerMiB = 0.1, Limits = Default with { TargetLatencyMs = 5 } };
        for (var i = 0; i < 300; i++)
            Assert.True(disk.Step(operations: 50).Window.InFlight > 0);

        // 0.2 ms + 48 MiB/s × 0.1 ms = 5 ms.
        Assert.InRange(disk.MeanPace(seconds: 10, operations: 50) / MiB, 38, 50);
    }

    [Fact]
    public void Its_reason_says_what_it_sees()
    {
        var disk = new Disk { Alone = 0.2, PerMiB = 1, Limits = Default with { TargetLatencyMs = 5 } };
        disk.Run(seconds: 0.2, operations: 50);
        var pace = disk.Step(operations: 50);

        Assert.Matches(@"^guest latency 1?\d\.\d+ ms over 5\.0 ms: \d+(\.\d)? MiB/s$", pace.Reason);
    }

    [Fact]
    public void Full_speed_is_back_within_a_second_of_the_guest_falling_quiet()
    {
        var disk = new Disk();
        disk.Run(seconds: 5, operations: 300);
        Assert.NotNull(disk.Step(operations: 300).Reason);

        var pace = disk.Run(seconds: 0.7, operations: 0);

        Assert.Equal(new AdaptivePace(PopulateWindow.Wide(16), 0, null), pace);
    }

    [Fact]
    public void What_slows_the_guest_beside_the_stream_does_not_stop_the_stream()
    {
        var disk = new Disk { PerMiB = 0 };
        disk.Run(seconds: 5, operations: 10);
        disk.Alone = 2;

        // One request of 64 KiB in 0.2 ms, 15 % of the time, is 47 MiB/s.
        Assert.True(disk.Run(seconds: 1, operations: 10).BytesPerSecond > 45 * MiB);
    }

    [Fact]
    public void Floor_and_ceiling_hold_whatever_the_guest_does()
    {
        var slow = new Disk { Alone = 50, PerMiB = 10, Limits = Default with { MinBandwidth = 3 * MiB, TargetLatencyMs = 1 } };
        Assert.Equal(3 * MiB, slow.Run(seconds: 10, operations: 20).BytesPerSecond);

        var fast = new Disk { PerMiB = 0, Limits = Default with { Bandwidth = 20 * MiB, TargetLatencyMs = 5 } };
        Assert.Equal(20 * MiB, fast.Run(seconds: 10, operations: 20).BytesPerSecond);
    }

    [Fact]
    public void A_slow_source_gets_a_wider_window_as_long_as_the_guest_does_not_mind()
    {
        // One request of 64 KiB in 5 ms is 12.5 MiB/s.
        var disk = new Disk { PerMiB = 0, SourceLatency = 5, Limits = Default with { TargetLatencyMs = 5 } };
        var pace = disk.Run(seconds: 10, operations: 100);

        Assert.True(pace.Window.InFlight == 16, $"{pace}");
        Assert.True(pace.Window.RequestBytes > 64 << 10, $"{pace}");
    }

    [Fact]
    public void A_guest_that_is_slow_by_itself_is_no_reason_to_stop()
    {
        // A disk of 12 ms: the largest learned target of 5 ms could never be met.
        var disk = new Disk { Alone = 12, PerMiB = 0 };
        Assert.True(disk.Run(seconds: 20, operations: 8).BytesPerSecond > AdaptiveController.DefaultFloor);
    }

    [Fact]
    public void Counters_that_fall_begin_a_new_history()
    {
        var disk = new Disk();
        disk.Run(seconds: 3, operations: 300);
        disk.Forget();

        Assert.True(disk.Run(seconds: 3, operations: 300).BytesPerSecond >= AdaptiveController.DefaultFloor);
    }

    [Fact]
    public void Whatever_happens_the_pace_stays_between_floor_and_ceiling_and_the_window_within_its_bounds()
    {
        for (var seed = 0; seed < 100; seed++)
        {
            var random = new Random(seed);
            var disk = new Disk
            {
                Alone = random.NextDouble() * 20,
                PerMiB = random.NextDouble(),
                SourceLatency = random.NextDouble() * 20,
                Limits = Default with
                {
                    Bandwidth = random.Next(2) * random.Next(2, 200) * MiB,
                    MinBandwidth = random.Next(3) * MiB / 2,
                    TargetLatencyMs = random.Next(2) == 0 ? null : random.NextDouble() * 10 + 0.1,
                    InFlight = random.Next(1, 17),
                },
            };
            for (var i = 0; i < 300; i++)
            {
                var pace = disk.Step(operations: random.Next(4) == 0 ? 0 : random.Next(500));
                Assert.InRange(pace.Window.InFlight, 0, disk.Limits.InFlight);
                // Whatever is asked for at once, no more is on its way in all.
                Assert.InRange(pace.Window.RequestBytes, 64 << 10, pace.BytesPerSecond == 0 ? SectorThrottle.LargestRequest : PopulateWindow.LargestKindRequest);
                Assert.InRange(pace.Window.Bytes, 0, (long)disk.Limits.InFlight * PopulateWindow.LargestKindRequest);
                if (pace.BytesPerSecond != 0)
                    Assert.InRange(pace.BytesPerSecond,
                        Math.Min(disk.Limits.MinBandwidth > 0 ? disk.Limits.MinBandwidth : AdaptiveController.DefaultFloor, disk.Limits.Bandwidth > 0 ? disk.Limits.Bandwidth : long.MaxValue),
                        disk.Limits.Bandwidth > 0 ? disk.Limits.Bandwidth : long.MaxValue);
            }
        }
    }

    private static readonly AdaptiveLimits Default = new(TargetLatencyMs: null, MinBandwidth: 0, Bandwidth: 0, ClusterSize: 64 << 10, InFlight: 16);

    [Fact]
    public void It_tells_what_the_guest_feels_while_it_works()
    {
        var disk = new Disk { Alone = 0.5, PerMiB = 0 };
        disk.Run(seconds: 1, operations: 0);
        Assert.Null(disk.TellsLatency);
        disk.Run(seconds: 1, operations: 20);
        Assert.Equal(0.5, disk.TellsLatency);
        disk.Alone = 3;
        disk.Run(seconds: 2, operations: 20);
        Assert.InRange(disk.TellsLatency!.Value, 2.9, 3);
        disk.GoBlind();
        Assert.Null(disk.TellsLatency);
        disk.Run(seconds: 1, operations: 20);
        disk.Run(seconds: 1, operations: 0);
        Assert.Null(disk.TellsLatency);
    }

    private sealed class Disk
    {
        private readonly FakeTimeProvider _time = new();
        private AdaptiveController? _controller;
        private GuestIo _io;
        private double _streamed;
        private TimeSpan _requestTime;
        private AdaptivePace _pace = new(PopulateWindow.Wide(16), 0, null);

        public AdaptiveLimits Limits { get; init; } = Default;

        /// <summary>The guest's latency with no stream, in milliseconds.</summary>
        public double Alone { get; set; } = 0.2;

        /// <summary>How much each MiB/s of the stream adds to it.</summary>
        public double PerMiB { get; init; } = 0.001;

        /// <summary>How long a request takes, in milliseconds.</summary>
        public double SourceLatency { get; init; } = 0.2;

        public double MeanLatency { get; private set; }

        public AdaptivePace Step(int operations)
        {
            _controller ??= new AdaptiveController(Limits, _time);
            var possible = _pace.Window.InFlight * (double)_pace.Window.RequestBytes / SourceLatency * 1000;
            var rate = _pace.BytesPerSecond > 0 ? Math.Min(possible, _pace.BytesPerSecond) : Math.Min(possible, 1000 * MiB);
            MeanLatency = Alone + rate / MiB * PerMiB;
            _time.Advance(AdaptiveController.Tick);
            _streamed += rate * AdaptiveController.Tick.TotalSeconds;
            _requestTime += TimeSpan.FromMilliseconds(rate * AdaptiveController.Tick.TotalSeconds / _pace.Window.RequestBytes * SourceLatency);
            var time = TimeSpan.FromMilliseconds(MeanLatency);
            _io = new GuestIo(
                new(_io.Reads.Count + operations, _io.Reads.Time + operations * time),
                new(_io.Writes.Count + operations / 2, _io.Writes.Time + operations / 2 * time),
                default);
            return _pace = _controller.Observe(_io, new StreamWork((long)_streamed, _requestTime));
        }

        public double? TellsLatency => _controller?.GuestLatencyMs;

        public void GoBlind() => _controller!.Blind();

        public AdaptivePace Run(double seconds, int operations)
        {
            for (var i = 0; i < seconds * 10; i++)
                Step(operations);
            return _pace;
        }

        public double MeanPace(int seconds, int operations)
        {
            var before = _streamed;
            Run(seconds, operations);
            return (_streamed - before) / seconds;
        }

        public void Forget() => _io = default;
    }
}
