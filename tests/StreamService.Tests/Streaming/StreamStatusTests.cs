using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Tests.Streaming;

public sealed class StreamStatusTests
{
    private static readonly DateTimeOffset Time = new(2030, 1, 2, 3, 4, 5, TimeSpan.Zero);

    internal static StreamStatus Status(StreamState state = StreamState.Running, long? remaining = 600, long rate = 100) => new(
        Guid.CreateVersion7(Time), new DiskAddress("local", Guid.NewGuid(), "vda"), "web", 1000, StreamMode.Full,
        new StreamSpec("/base", 7, StreamPolicy.Fixed, StreamPriority.High, StreamOnError.Report, StreamEngine.Pipelined, StreamOrder.Sequential),
        StreamEngine.Native, "The disk cannot be exported.", state, 300, 200, remaining, rate, "waits", new StreamError("hypervisor-error", "no"), Time, Time.AddSeconds(1), Time.AddSeconds(2), Time.AddSeconds(3), 42);

    [Theory]
    [InlineData(StreamState.Queued, null, 0, 0, null)]
    [InlineData(StreamState.Running, null, 100, 0, null)]
    [InlineData(StreamState.Running, 600L, 100, 400, 6.0)]
    [InlineData(StreamState.Running, 600L, 0, 400, null)]
    [InlineData(StreamState.Running, 0L, 100, 1000, 0.0)]
    [InlineData(StreamState.Paused, 600L, 100, 400, null)]
    [InlineData(StreamState.Waiting, 600L, 100, 400, null)]
    [InlineData(StreamState.Finalizing, 0L, 0, 1000, null)]
    [InlineData(StreamState.Completed, 0L, 0, 1000, 0.0)]
    [InlineData(StreamState.Completed, null, 0, 1000, 0.0)]
    [InlineData(StreamState.Cancelled, 600L, 0, 400, null)]
    public void Offset_and_eta_are_numbers_that_mean_something_or_are_left_out(StreamState state, long? remaining, long rate, long offset, double? eta)
    {
        var status = Status(state, remaining, rate);
        Assert.Equal((offset, eta), (status.Offset, status.EtaSeconds));
        Assert.Equal(state is StreamState.Completed or StreamState.Failed or StreamState.Cancelled, status.IsFinal);
    }

    [Fact]
    public void Record_keeps_all_of_it()
    {
        var status = Status(StreamState.Failed) with { TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Attempt = 3, LastError = new StreamError("host-unreachable", "away") };
        Assert.Equal(status, StreamRecord.From(status, "key", epoch: 3).ToStatus());
        var plain = status with { Spec = status.Spec with { Base = null }, Error = null, Reason = null, BytesRemaining = null, StartedAt = null };
        Assert.Equal(plain, StreamRecord.From(plain, null, epoch: 0).ToStatus());
    }

    [Theory]
    [InlineData(StreamState.Waiting, 3)]
    [InlineData(StreamState.Failed, 3)]
    [InlineData(StreamState.Running, 0)]
    [InlineData(StreamState.Finalizing, 0)]
    [InlineData(StreamState.Paused, 0)]
    [InlineData(StreamState.Completed, 0)]
    public void Failed_attempts_are_counted_until_it_goes_on_and_their_last_fault_is_kept(StreamState state, int attempt)
    {
        var held = Status(StreamState.Waiting) with { Attempt = 3, NextAttemptAt = Time, LastError = new StreamError("host-unreachable", "away") };
        var next = held.Entering(state, reason: null, error: null, Time);
        Assert.Equal((attempt, null, held.LastError), (next.Attempt, next.NextAttemptAt, next.LastError));
    }

    [Fact]
    public void Generations_go_on_rising_after_a_crash()
    {
        var record = StreamRecord.From(Status() with { Generation = 1 }, null, epoch: 0);
        // As many as were shown since without a write.
        Assert.True(record.ToGoOn().Generation >= 1000);
        // Who only looks sees what was there.
        Assert.Equal(1, record.ToStatus().Generation);
        Assert.True(StreamRecord.From(Status() with { Generation = 5 }, null, epoch: 0).ToGoOn().Generation >= record.ToGoOn().Generation);
        var over = StreamRecord.From(Status(StreamState.Completed) with { Generation = 77 }, null, epoch: 0);
        Assert.Equal((77, 77), (over.ToStatus().Generation, over.ToGoOn().Generation));
        // A record of a version that did not keep it.
        over.Generation = 0;
        Assert.Equal(77, over.ToStatus().Generation);
    }
}
