using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

public sealed class NbdReadCoverageTests
{
    [Fact]
    public void Agrees_with_a_bit_for_each_byte()
    {
        var random = new Random(7);
        for (var round = 0; round < 500; round++)
        {
            const int Length = 40;
            var coverage = new NbdReadCoverage();
            var seen = new bool[Length];
            for (var i = 0; i < 60; i++)
            {
                int start = random.Next(Length);
                int length = random.Next(1, Math.Min(8, Length - start) + 1);
                bool fresh = !seen.AsSpan(start, length).Contains(true);
                Assert.Equal(fresh, coverage.TryAdd(start, length));
                if (!fresh)
                {
                    continue;
                }

                seen.AsSpan(start, length).Fill(true);
                Assert.Equal(!seen.Contains(false), coverage.IsComplete(Length));
            }
        }
    }
}
