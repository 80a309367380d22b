using StreamService.Client;
using StreamService.Ctl.Commands;

namespace StreamService.Tests.Ctl;

/// <summary>The allocation map in characters.</summary>
public sealed class MapDrawingTests
{
    [Fact]
    public void A_cell_is_full_only_where_nothing_is_left_and_empty_only_where_all_is()
    {
        var map = new AllocationMap { Size = 10 << 20, Populated = 6 << 20, Remaining = 4 << 20, Buckets = [1, 0.9999, 0.66, 0.3, 0.0001, 0, 1] };
        Assert.Equal(
            ["|█▓▒░|", "|░·█|", "10 MiB from the first byte to the last; 6.0 MiB in the overlay, 4.0 MiB only in the backing chain"],
            MapCommand.Draw(map, 4).Take(3));
    }
}
