using StreamService.Streaming;

namespace StreamService.Tests.Streaming;

public sealed class UnflushedRangesTests
{
    [Fact]
    public void Neighbours_in_a_row_are_one_range()
    {
        var ranges = new UnflushedRanges();
        ranges.Add(0, 64);
        ranges.Add(64, 64);
        ranges.Add(256, 64);
        Assert.Equal([(0, 128), (256, 64)], ranges.All);
    }

    [Fact]
    public void A_flush_covers_what_was_there_when_it_began()
    {
        var ranges = new UnflushedRanges();
        ranges.Add(0, 64);
        ranges.BeginFlush();
        ranges.Add(64, 64);
        ranges.EndFlush();
        Assert.Equal([(64, 64)], ranges.All);
        ranges.Add(128, 64);
        Assert.Equal([(64, 128)], ranges.All);
    }

    [Fact]
    public void After_a_flush_that_failed_the_next_covers_all()
    {
        var ranges = new UnflushedRanges();
        ranges.Add(0, 64);
        ranges.BeginFlush();
        ranges.Add(128, 64);
        ranges.BeginFlush();
        ranges.EndFlush();
        Assert.Empty(ranges.All);
    }
}
