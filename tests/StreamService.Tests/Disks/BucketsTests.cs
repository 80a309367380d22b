using StreamService.Qemu.Disks;

namespace StreamService.Tests.Disks;

public sealed class BucketsTests
{
    [Fact]
    public void Each_bucket_tells_what_of_it_is_within_the_ranges()
    {
        var buckets = new Buckets(size: 400, count: 4);
        Assert.Equal([0.5, 0, 0.25, 1], buckets.Fractions([(300, 100), (50, 50), (200, 25)]));
        Assert.Equal([0, 0.5, 1, 0.1], buckets.Fractions([(150, 160)]));
        Assert.Equal([0, 0, 0, 0], buckets.Fractions([]));
    }

    [Fact]
    public void Ranges_beyond_the_disk_are_left_out() => Assert.Equal([0, 0.5], new Buckets(100, 2).Fractions([(75, 5000), (100, 7), (4000, 1)]));

    [Theory]
    [InlineData(1000003, 7)]
    [InlineData(3, 7)]
    [InlineData(8L << 50, 1024)]
    public void Ranges_that_cover_all_fill_every_bucket_that_holds_a_byte(long size, int count)
    {
        var third = size / 3;
        var fractions = new Buckets(size, count).Fractions([(0, third), (third, third), (2 * third, size - 2 * third)]);
        Assert.Equal(count, fractions.Length);
        Assert.Equal(Math.Min(count, size), fractions.Count(fraction => fraction == 1));
    }
}
