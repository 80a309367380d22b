using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;

namespace StreamService.Streaming.Profiles;

/// <summary>What the profile of a disk's image says guests read first: which of it is still to stream, and whether all is there.</summary>
internal sealed class HotData(ImageProfile profile)
{
    private readonly List<ProfileExtent> _inOrder = [.. profile.InOrder()];

    /// <summary>Of what a map says needs streaming, what is hot, in the order to stream it.</summary>
    public List<AllocationExtent> Remaining(AllocationMap map, int baseDepth)
    {
        var remaining = map.Remaining(baseDepth).ToList();
        var hot = new List<AllocationExtent>();
        foreach (var wanted in _inOrder)
            for (var i = IndexOf(remaining, wanted.Offset); i < remaining.Count && remaining[i].Offset < wanted.End; i++)
            {
                var offset = Math.Max(wanted.Offset, remaining[i].Offset);
                hot.Add(remaining[i] with { Offset = offset, Length = Math.Min(wanted.End, remaining[i].End) - offset });
            }
        return hot;
    }

    /// <summary>Bytes of it that are not in the overlay now and need to be.</summary>
    /// <exception cref="NbdException">The disk cannot be asked.</exception>
    public async Task<long> RemainingBytesAsync(NbdClient disk, int baseDepth, CancellationToken cancellationToken)
    {
        if (profile.Extents is not [var first, ..] || first.Offset >= disk.Export.Size)
            return 0;
        var end = Math.Min(disk.Export.Size, profile.Extents[^1].End);
        return Remaining(await AllocationMap.ReadAsync(disk, first.Offset, end - first.Offset, cancellationToken), baseDepth).Sum(extent => extent.Length);
    }

    /// <summary>The first extent that ends after <paramref name="offset"/>.</summary>
    private static int IndexOf(List<AllocationExtent> extents, long offset)
    {
        var (low, high) = (0, extents.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = extents[middle].End <= offset ? (middle + 1, high) : (low, middle);
        }
        return low;
    }
}
