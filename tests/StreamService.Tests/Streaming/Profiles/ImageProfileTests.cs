using StreamService.Qemu.Disks;
using StreamService.Streaming.Profiles;

namespace StreamService.Tests.Streaming.Profiles;

public sealed class ImageProfileTests
{
    private const long Block = ImageProfile.Block;
    private static readonly DateTimeOffset Now = new(2026, 11, 23, 8, 0, 0, TimeSpan.Zero);
    private static readonly ImageProfile Empty = new("/images/debian.raw", "f1", Deployments: 0, [], Now);

    [Fact]
    public void ABlockIsReadWhenItIsFirstSeenInTheOverlay()
    {
        var reads = new GuestReads();
        reads.Look(Map((2 * Block, 2)), 100);
        reads.Look(Map((2 * Block, 1), (2 * Block, 2)), 350);
        reads.Look(Map((3 * Block, 1), (Block, 2)), 600);
        Assert.Equal([(0L, 350), (1L, 350), (2L, 600)], reads.Blocks.OrderBy(block => block.Key).Select(block => (block.Key, block.Value)));
    }

    [Fact]
    public void APartOfABlockCountsAsTheBlock()
    {
        var reads = new GuestReads();
        reads.Look(Map((Block - 512, 2), (1024, 1), (Block, 2)), 0);
        Assert.Equal([0L, 1L], reads.Blocks.Keys.Order());
    }

    [Fact]
    public void ProfilesCountDeploymentsAndAverageTimes()
    {
        var profile = Empty.With(Reads((0, 100), (1, 100)), Now).With(Reads((1, 300), (7, 900)), Now);
        Assert.Equal(2, profile.Deployments);
        Assert.Equal(
            [new ProfileExtent(0, Block, 1, 100), new ProfileExtent(Block, Block, 2, 200), new ProfileExtent(7 * Block, Block, 1, 900)],
            profile.Extents);
        Assert.Equal(3 * Block, profile.Bytes);
    }

    [Fact]
    public void NeighboursThatAreWantedAlikeAreOneExtent()
    {
        var profile = Empty.With(Reads((4, 400), (5, 100), (6, 499), (7, 500)), Now);
        Assert.Equal([new ProfileExtent(4 * Block, 3 * Block, 1, 100), new ProfileExtent(7 * Block, Block, 1, 500)], profile.Extents);
    }

    [Fact]
    public void WhatMostWantedComesFirstThenWhatTheyWantedSoonest()
    {
        var late = new ProfileExtent(0, Block, 3, 9000);
        var rare = new ProfileExtent(Block, Block, 1, 0);
        var soon = new ProfileExtent(9 * Block, Block, 3, 10);
        var soonToo = new ProfileExtent(8 * Block, Block, 3, 400);
        Assert.Equal([soonToo, soon, late, rare], (Empty with { Extents = [late, rare, soonToo, soon] }).InOrder());
    }

    [Fact]
    public void AGuestThatWritesWithoutEndDoesNotMakeTheProfileGrowWithoutEnd()
    {
        var reads = new GuestReads();
        reads.Look(Map((ImageProfile.LargestBytes * 2, 1)), 0);
        Assert.Equal(ImageProfile.LargestBytes, Empty.With(reads, Now).Bytes);
    }

    [Fact]
    public void LearningTwiceTheSameGivesTheSameExtents()
    {
        // Whatever was read: order of deployments does not matter, and no block is lost or counted twice.
        var random = new Random(20261123);
        for (var round = 0; round < 50; round++)
        {
            var deployments = Enumerable.Range(0, 4).Select(_ => Enumerable.Range(0, 40)
                .Select(_ => ((long)random.Next(64), random.Next(8) * 500)).DistinctBy(read => read.Item1).ToArray()).ToList();
            var forth = deployments.Aggregate(Empty, (profile, reads) => profile.With(Reads(reads), Now));
            Assert.Equal(deployments.SelectMany(reads => reads).Select(read => read.Item1).Distinct().Count() * Block, forth.Bytes);
            Assert.Equal(deployments.Sum(reads => reads.Length), forth.Extents.Sum(extent => extent.Length / Block * extent.Deployments));
            Assert.All(forth.Extents.Zip(forth.Extents.Skip(1)), pair => Assert.True(pair.First.End <= pair.Second.Offset));
            var back = Enumerable.Reverse(deployments).Aggregate(Empty, (profile, reads) => profile.With(Reads(reads), Now));
            Assert.Equal(forth.Bytes, back.Bytes);
        }
    }

    [Fact]
    public void HotDataIsWhatTheProfileNamesAndTheOverlayLacks()
    {
        var hot = new HotData(Empty with
        {
            Extents = [new ProfileExtent(Block, 4 * Block, 1, 0), new ProfileExtent(8 * Block, 100 * Block, 2, 0)],
        });
        // Backing, overlay, hole, backing to the end at 10.
        var map = new AllocationMap(0,
        [
            new AllocationExtent(0, 2 * Block, 2, false),
            new AllocationExtent(2 * Block, Block, 1, false),
            new AllocationExtent(3 * Block, Block, 2, true),
            new AllocationExtent(4 * Block, 6 * Block, 3, false),
        ]);
        Assert.Equal(
            [(8 * Block, 2 * Block), (Block, Block), (4 * Block, Block)],
            hot.Remaining(map, int.MaxValue).Select(extent => (extent.Offset, extent.Length)));
        // With the lowest image as the base that stays, what lies in it is not streamed.
        Assert.Equal([(Block, Block)], hot.Remaining(map, 3).Select(extent => (extent.Offset, extent.Length)));
    }

    private static GuestReads Reads(params (long Block, int Milliseconds)[] reads)
    {
        var guest = new GuestReads();
        foreach (var (block, milliseconds) in reads.OrderBy(read => read.Milliseconds))
            guest.Look(new AllocationMap(block * Block, [new AllocationExtent(block * Block, Block, 1, false)]), milliseconds);
        return guest;
    }

    private static AllocationMap Map(params (long Length, int Depth)[] extents)
    {
        long offset = 0;
        return new AllocationMap(0, [.. extents.Select(extent => new AllocationExtent((offset += extent.Length) - extent.Length, extent.Length, extent.Depth, false))]);
    }
}
