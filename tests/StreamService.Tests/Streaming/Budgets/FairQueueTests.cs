using Microsoft.Extensions.Time.Testing;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;

namespace StreamService.Tests.Streaming.Budgets;

/// <summary>Sharing, on a clock that only the test moves. Each property is tried with many seeds.</summary>
public sealed class FairQueueTests
{
    private const int Cluster = 64 << 10;
    private const long MiB = 1 << 20;

    [Theory]
    [InlineData(1 * MiB)]
    [InlineData(50 * MiB)]
    [InlineData(200 * MiB)]
    public void Fifty_streams_of_three_priorities_share_1_to_4_to_16_and_use_all_of_it(long pace)
    {
        var line = new Simulation(pace, seed: 1);
        for (var i = 0; i < 50; i++)
            line.Add(i % 3 == 0 ? 16 : i % 3 == 1 ? 4 : 1);

        // A slow budget grants one cluster after the other; a share shows once each has had some.
        var length = TimeSpan.FromSeconds(Math.Max(20, 50.0 * 350 * Cluster / pace));
        line.Run(length);

        Assert.InRange(line.Total / (pace * length.TotalSeconds), 0.99, 1.0 + Simulation.Unit(pace) / (pace * length.TotalSeconds));
        var unit = line.Members.Sum(member => (double)member.Bytes) / line.Members.Sum(member => member.Fair.Weight);
        Assert.All(line.Members, member => Assert.InRange(member.Bytes / (unit * member.Fair.Weight), 0.95, 1.05));
    }

    [Fact]
    public void Properties_hold_whatever_the_pace_the_members_and_the_lateness_of_timers()
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var pace = (long)(Math.Pow(10, random.NextDouble() * 2.5) * MiB);
            var line = new Simulation(pace, seed) { Lateness = TimeSpan.FromMilliseconds(random.NextDouble() * 4) };
            for (var i = random.Next(1, 30); i > 0; i--)
                line.Add((int)Math.Pow(4, random.Next(0, 3)));

            line.Run(TimeSpan.FromSeconds(30));

            Assert.True(line.Total <= pace * 30 + Simulation.Unit(pace), $"Seed {seed}: more than the budget.");
            Assert.True(line.Total >= pace * 30 * 0.99, $"Seed {seed}: {line.Total / (pace * 30.0):P1} of the budget.");
            Assert.True(line.LargestWindow(TimeSpan.FromMilliseconds(200)) <= pace * 0.2 + Simulation.Unit(pace), $"Seed {seed}: over the budget within 200 ms.");
            Assert.All(line.Members, member => Assert.True(member.Bytes >= 0));
            foreach (var (higher, lower) in from a in line.Members from b in line.Members where a.Fair.Weight > b.Fair.Weight select (a, b))
                Assert.True(higher.Bytes + (2 * SectorThrottle.LargestPacedRequest) >= lower.Bytes, $"Seed {seed}: weight {higher.Fair.Weight} got less than {lower.Fair.Weight}.");
        }
    }

    [Fact]
    public void What_one_leaves_goes_to_the_others_within_300_ms()
    {
        const long pace = 50 * MiB;
        var line = new Simulation(pace, seed: 2);
        var leaver = line.Add(16);
        var stayer = line.Add(4);
        line.Run(TimeSpan.FromSeconds(5));
        Assert.InRange(stayer.Bytes / (pace * 5.0), 0.19, 0.21);

        leaver.Asks = false;
        line.Run(TimeSpan.FromMilliseconds(300));
        var before = stayer.Bytes;
        line.Run(TimeSpan.FromSeconds(1));

        Assert.InRange((stayer.Bytes - before) / (double)pace, 0.99, 1.01);
    }

    [Fact]
    public void Who_comes_back_gets_its_share_and_no_more()
    {
        const long pace = 50 * MiB;
        var line = new Simulation(pace, seed: 3);
        var away = line.Add(4);
        var there = line.Add(4);
        away.Asks = false;
        line.Run(TimeSpan.FromSeconds(10));

        away.Asks = true;
        var (awayBefore, thereBefore) = (away.Bytes, there.Bytes);
        line.Run(TimeSpan.FromSeconds(2));

        Assert.InRange((away.Bytes - awayBefore) / (double)(there.Bytes - thereBefore), 0.95, 1.05);
    }

    [Fact]
    public void A_change_of_pace_or_weight_counts_at_once()
    {
        var line = new Simulation(1 * MiB, seed: 4);
        var a = line.Add(1);
        var b = line.Add(1);
        line.Run(TimeSpan.FromSeconds(2));

        line.Queue.BytesPerSecond = 100 * MiB;
        FairQueue.SetWeight(a.Fair, 16);
        var (before, beforeB, total) = (a.Bytes, b.Bytes, line.Total);
        line.Run(TimeSpan.FromMilliseconds(500));
        Assert.InRange((line.Total - total) / (50.0 * MiB), 0.97, 1.02);
        Assert.InRange((a.Bytes - before) / (double)(b.Bytes - beforeB), 14, 18);

        line.Queue.BytesPerSecond = 1 * MiB;
        total = line.Total;
        line.Run(TimeSpan.FromSeconds(1));
        Assert.InRange((line.Total - total) / (1.0 * MiB), 0.5, 1.5);
    }

    [Fact]
    public void Without_a_pace_everything_goes_at_once()
    {
        var queue = new FairQueue(0, new FakeTimeProvider());
        queue.Enqueue(new FairMember(1), int.MaxValue);
        queue.Enqueue(new FairMember(16), int.MaxValue);
        var granted = new List<FairRequest>();

        Assert.Null(queue.Serve(granted));
        Assert.Equal(2, granted.Count);
    }

    [Fact]
    public void A_request_that_was_withdrawn_costs_its_member_nothing()
    {
        var queue = new FairQueue(1, new FakeTimeProvider());
        var granted = new List<FairRequest>();
        var member = new FairMember(1);
        queue.Enqueue(new FairMember(1), Cluster);
        queue.Serve(granted);
        var request = queue.Enqueue(member, Cluster);

        queue.Withdraw(request);

        Assert.Equal(0, queue.Waiting);
        Assert.Null(member.Pending);
        Assert.Equal(request.StartTag, member.FinishTag);
    }

    /// <summary>Members that always ask, as streams do, and a timer that fires late.</summary>
    private sealed class Simulation(long pace, int seed)
    {
        private readonly FakeTimeProvider _time = new();
        private readonly Random _random = new(seed);
        private readonly List<(TimeSpan At, int Bytes)> _grants = [];
        private FairQueue? _queue;
        private TimeSpan _now;

        public FairQueue Queue => _queue ??= new FairQueue(pace, _time);
        public List<Member> Members { get; } = [];
        public TimeSpan Lateness { get; init; }
        public long Total { get; private set; }

        /// <summary>How much more than the pace may go out within 200 ms: what late timers held up, what was saved, and one request where that is large.</summary>
        public static double Unit(long pace) => pace * (FairQueue.LateTimer + FairQueue.Credit).TotalSeconds
            + (SectorThrottle.RequestSizeFor(pace, Cluster) is var request && request <= pace * FairQueue.Window.TotalSeconds / 100 ? 0 : request);

        public Member Add(int weight)
        {
            Members.Add(new Member(new FairMember(weight)));
            return Members[^1];
        }

        public void Run(TimeSpan length)
        {
            var end = _now + length;
            var granted = new List<FairRequest>();
            while (true)
            {
                TimeSpan? wait;
                do
                {
                    var weights = Members.Where(member => member.Asks).Sum(member => member.Fair.Weight);
                    foreach (var member in Members.Where(member => member is { Asks: true, Fair.Pending: null }))
                        Queue.Enqueue(member.Fair, SectorThrottle.RequestSizeFor(Math.Max(1, Queue.BytesPerSecond * member.Fair.Weight / weights), Cluster));
                    granted.Clear();
                    wait = Queue.Serve(granted);
                    foreach (var request in granted)
                    {
                        Members.Single(member => member.Fair == request.Member).Bytes += request.Bytes;
                        Total += request.Bytes;
                        _grants.Add((_now, request.Bytes));
                    }
                }
                while (granted.Count > 0);
                var step = wait!.Value + Lateness * _random.NextDouble() + TimeSpan.FromTicks(1);
                if (_now + step > end)
                    break;
                Move(step);
            }
            Move(end - _now);
        }

        public double LargestWindow(TimeSpan window)
        {
            double sum = 0, largest = 0;
            for (int first = 0, last = 0; last < _grants.Count; last++)
            {
                sum += _grants[last].Bytes;
                while (_grants[last].At - _grants[first].At > window)
                    sum -= _grants[first++].Bytes;
                largest = Math.Max(largest, sum);
            }
            return largest;
        }

        private void Move(TimeSpan step)
        {
            _time.Advance(step);
            _now += step;
        }
    }

    private sealed class Member(FairMember fair)
    {
        public FairMember Fair { get; } = fair;
        public bool Asks { get; set; } = true;
        public long Bytes { get; set; }
    }
}
