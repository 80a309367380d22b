namespace StreamService.Qemu.Disks;

/// <summary>A disk divided into equal ranges (to a byte), for a picture of it.</summary>
/// <param name="size">Of the disk, in bytes.</param>
/// <param name="count">How many.</param>
public sealed class Buckets(long size, int count)
{
    /// <summary>What of each bucket lies within the ranges: 0 to 1, to four digits.</summary>
    /// <param name="ranges">In any order, without overlaps; what lies beyond the disk is left out.</param>
    public double[] Fractions(IEnumerable<(long Offset, long Length)> ranges)
    {
        var covered = new long[count];
        foreach (var (offset, length) in ranges)
        {
            long end = Math.Min(offset + length, size);
            for (int i = IndexOf(offset); i < count && Start(i) < end; i++)
            {
                covered[i] += Math.Max(0, Math.Min(end, Start(i + 1)) - Math.Max(offset, Start(i)));
            }
        }

        return [.. covered.Select((bytes, i) => Start(i + 1) > Start(i) ? Math.Round((double)bytes / (Start(i + 1) - Start(i)), 4) : 0)];
    }

    private long Start(int bucket) => (long)((Int128)size * bucket / count);

    /// <summary>The bucket that holds the byte.</summary>
    private int IndexOf(long offset)
    {
        if (offset >= size)
        {
            return count;
        }

        var index = (int)((Int128)offset * count / size);
        // Rounding may have put the byte one further.
        while (index + 1 < count && Start(index + 1) <= offset)
        {
            index++;
        }

        return index;
    }
}
