using StreamService.Streaming.Budgets;

namespace StreamService.Tests.Streaming.Budgets;

public class ReplicaShareTests
{
    [Theory]
    [InlineData(1000, 4, 0, 1000)]
    [InlineData(1000, 4, 12, 250)]
    [InlineData(1000, 16, 4, 800)]
    [InlineData(0, 4, 12, 0)]
    // Who is about to begin is not kept from it, and does not take what is not there.
    [InlineData(1000, 0, 9, 100)]
    [InlineData(1, 1, 1_000_000, 1)]
    public void Each_replica_gets_its_part_by_the_weights_at_work(long pace, int here, int elsewhere, long share) =>
        Assert.Equal(share, ReplicaShare.Of(pace, here, elsewhere));

    [Fact]
    public void Shares_of_all_replicas_are_the_pace()
    {
        int[] weights = [4, 16, 1, 64];
        Assert.InRange(weights.Sum(here => ReplicaShare.Of(1_000_000, here, weights.Sum() - here)), 1_000_000 - weights.Length, 1_000_000);
    }
}
