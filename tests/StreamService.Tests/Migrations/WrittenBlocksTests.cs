using StreamService.Migrations;
using StreamService.Qemu.Disks;

namespace StreamService.Tests.Migrations;

public sealed class WrittenBlocksTests
{
    private const int Block = WrittenBlocks.BlockSize;

    [Theory]
    [InlineData(0, 1, 0, 0)]
    [InlineData(Block - 1, 2, 0, 1)]
    [InlineData(Block, Block, 1, 1)]
    [InlineData(Block * 2 + 5, Block * 3, 2, 5)]
    public void Every_block_that_a_range_touches_is_in(long offset, long length, int first, int last)
    {
        var written = new WrittenBlocks(8 * Block);
        written.Add(offset, length);
        Assert.Equal(Enumerable.Range(first, last - first + 1), Enumerable.Range(0, 8).Where(block => written[block]));
    }

    [Fact]
    public void A_range_past_the_end_stops_there()
    {
        var written = new WrittenBlocks(2 * Block + 512);
        written.Add(2 * Block, 100 * Block);
        Assert.Equal(3, written.Blocks);
        Assert.True(written[2]);
        Assert.False(written[1]);
    }

    [Fact]
    public void Of_a_map_only_the_overlays_own_extents_count()
    {
        var written = new WrittenBlocks(4 * Block);
        written.Add(new AllocationMap(0, [new(0, Block, 2, false), new(Block, Block, 1, false), new(2 * Block, Block, 0, true), new(3 * Block, Block, 1, true)]));
        Assert.Equal([1, 3], Enumerable.Range(0, 4).Where(block => written[block]));
    }

    [Fact]
    public void Comes_back_from_its_bytes()
    {
        var written = new WrittenBlocks(20 * Block);
        written.Add(3 * Block, 1);
        written.Add(19 * Block, 1);
        var again = new WrittenBlocks(20 * Block, written.ToBytes());
        Assert.Equal([3, 19], Enumerable.Range(0, 20).Where(block => again[block]));
        again.Add(0, 1);
        Assert.False(written[0]);
    }
}
