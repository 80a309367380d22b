using StreamService.Streaming;
using StreamService.Streaming.Budgets;

namespace StreamService.Tests.Streaming;

public sealed class StreamTurnsTests
{
    private readonly List<StreamTicket> _moved = [];
    private int _age;

    [Fact]
    public void Without_caps_everybody_begins()
    {
        var turns = new StreamTurns(new StreamCaps(0, 0));
        Assert.All(Enumerable.Range(0, 100).Select(_ => Join(turns)).ToList(), ticket => Assert.True(ticket.HasTurn));
    }

    [Fact]
    public void Who_waits_knows_its_place_and_what_it_waits_for()
    {
        var turns = new StreamTurns(new StreamCaps(2, 0));
        var tickets = Enumerable.Range(0, 5).Select(_ => Join(turns)).ToList();

        Assert.Equal([true, true, false, false, false], tickets.Select(ticket => ticket.HasTurn));
        Assert.Equal("1st in line: host local runs 2 of 2 streams", tickets[2].Reason);
        Assert.Equal("3rd in line: host local runs 2 of 2 streams", tickets[4].Reason);

        tickets[0].Dispose();
        Assert.True(tickets[2].HasTurn);
        Assert.Equal("2nd in line: host local runs 2 of 2 streams", tickets[4].Reason);
        Assert.Equal([tickets[2], tickets[3], tickets[4]], _moved);
    }

    [Fact]
    public void Priority_goes_before_age_and_may_change()
    {
        var turns = new StreamTurns(new StreamCaps(1, 0));
        var running = Join(turns);
        var older = Join(turns, StreamPriority.Normal);
        var low = Join(turns, StreamPriority.Low);
        var high = Join(turns, StreamPriority.High);
        Assert.StartsWith("1st", high.Reason, StringComparison.Ordinal);
        Assert.StartsWith("2nd", older.Reason, StringComparison.Ordinal);
        Assert.StartsWith("3rd", low.Reason, StringComparison.Ordinal);

        low.SetPriority(StreamPriority.High);
        Assert.StartsWith("1st", low.Reason, StringComparison.Ordinal);
        Assert.StartsWith("2nd", high.Reason, StringComparison.Ordinal);
        running.Dispose();

        Assert.True(low.HasTurn);
        Assert.False(high.HasTurn || older.HasTurn);
    }

    [Fact]
    public void Who_waits_for_a_source_does_not_hold_up_others()
    {
        var turns = new StreamTurns(new StreamCaps(2, 1));
        Join(turns, source: "a");
        var sameSource = Join(turns, StreamPriority.High, source: "a");
        var otherSource = Join(turns, StreamPriority.Low, source: "b");

        Assert.Equal("1st in line: image source a serves 1 of 1 streams", sameSource.Reason);
        Assert.True(otherSource.HasTurn);
    }

    [Fact]
    public void Leaving_the_line_moves_those_behind_up()
    {
        var turns = new StreamTurns(new StreamCaps(1, 0));
        Join(turns);
        var leaver = Join(turns);
        var behind = Join(turns);

        leaver.Dispose();
        leaver.Dispose();

        Assert.StartsWith("1st", behind.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Caps_hold_and_nobody_is_forgotten_whatever_happens()
    {
        for (var seed = 0; seed < 30; seed++)
        {
            var random = new Random(seed);
            var caps = new StreamCaps(random.Next(1, 5), random.Next(1, 4));
            var turns = new StreamTurns(caps);
            var tickets = new List<StreamTicket>();
            for (var i = 0; i < 300; i++)
            {
                if (random.Next(3) > 0 || tickets.Count == 0)
                    tickets.Add(Join(turns, (StreamPriority)random.Next(3), $"host{random.Next(3)}", $"source{random.Next(4)}"));
                else if (random.Next(4) == 0)
                    tickets[random.Next(tickets.Count)].SetPriority((StreamPriority)random.Next(3));
                else
                {
                    var index = random.Next(tickets.Count);
                    tickets[index].Dispose();
                    tickets.RemoveAt(index);
                }
                var running = tickets.Where(ticket => ticket.HasTurn).ToList();
                Assert.All(running.CountBy(ticket => ticket.Scope.Host), count => Assert.True(count.Value <= caps.PerHost));
                Assert.All(running.CountBy(ticket => ticket.Scope.Sources.Single()), count => Assert.True(count.Value <= caps.PerSource));
                // Whoever waits waits for something that is full.
                Assert.All(tickets.Where(ticket => !ticket.HasTurn), ticket => Assert.True(
                    running.Count(other => other.Scope.Host == ticket.Scope.Host) == caps.PerHost
                    || running.Count(other => other.Scope.Sources.Single() == ticket.Scope.Sources.Single()) == caps.PerSource));
            }
        }
    }

    private StreamTicket Join(StreamTurns turns, StreamPriority priority = StreamPriority.Normal, string host = "local", string source = "images")
    {
        StreamTicket? ticket = null;
        return ticket = turns.Join(new StreamScope(host, [source], []), priority, DateTimeOffset.UnixEpoch.AddSeconds(_age++), () => _moved.Add(ticket!));
    }
}
