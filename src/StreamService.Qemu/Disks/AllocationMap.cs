using StreamService.Qemu.Nbd;

namespace StreamService.Qemu.Disks;

/// <summary>A range of a disk that is allocated at one place of its backing chain.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes, at least one.</param>
/// <param name="Depth">0: nowhere. 1: in the overlay (active layer). 2 and more: only in the backing chain, at that depth.</param>
/// <param name="IsZero">Reads as zeros, and the image knows it: a hole, nothing to copy.</param>
public readonly record struct AllocationExtent(long Offset, long Length, int Depth, bool IsZero)
{
    /// <summary>The byte after the last.</summary>
    public long End => Offset + Length;

    /// <summary>Only in those images of the backing chain that a stream drops: all above the one at <paramref name="baseDepth"/>.</summary>
    internal bool IsInBackingChain(int baseDepth) => Depth >= 2 && Depth < baseDepth;
}

/// <summary>
/// Where each byte of a disk is allocated: the truth about what a stream has left to do. Immutable. The parameter
/// <c>baseDepth</c> of its members is the depth of the image that stays as the backing file; by default none stays.
/// </summary>
public sealed class AllocationMap
{
    /// <summary>
    /// More extents than a disk of 256 GiB has whose 64 KiB clusters alternate. Bounds the memory (24 bytes each) that
    /// a server can make us take; a larger disk in such a state is read in several ranges.
    /// </summary>
    public const int MaxExtents = 4 * 1024 * 1024;

    /// <summary>Length on the wire is 32 bits, ours 31. Rounded down to the largest minimum block size there can be.</summary>
    private const int MaxRequest = int.MaxValue - (64 * 1024) + 1;

    private readonly List<AllocationExtent> _extents;

    /// <summary>Makes a map of extents.</summary>
    /// <param name="offset">First byte described.</param>
    /// <param name="extents">Sorted and without gaps from there on. Neighbours that are equal are merged.</param>
    /// <exception cref="ArgumentException">There is a gap, an overlap or an extent without length.</exception>
    public AllocationMap(long offset, IEnumerable<AllocationExtent> extents)
    {
        Offset = offset;
        _extents = [];
        long next = offset;
        foreach (AllocationExtent extent in extents)
        {
            if (extent.Offset != next || extent.Length <= 0)
            {
                throw new ArgumentException($"An extent of {extent.Length} bytes at {extent.Offset} where one at {next} was due.", nameof(extents));
            }

            Append(_extents, extent);
            next = extent.End;
        }

        Length = next - offset;
    }

    private AllocationMap(long offset, long length, List<AllocationExtent> merged) => (Offset, Length, _extents) = (offset, length, merged);

    /// <summary>First byte described.</summary>
    public long Offset { get; }

    /// <summary>Bytes described.</summary>
    public long Length { get; }

    /// <summary>The extents: sorted, contiguous from <see cref="Offset"/> for <see cref="Length"/> bytes, neighbours differ.</summary>
    public IReadOnlyList<AllocationExtent> Extents => _extents;

    /// <summary>Bytes in the overlay.</summary>
    public long PopulatedBytes => _extents.Where(extent => extent.Depth == 1).Sum(extent => extent.Length);

    /// <summary>Reads the map of a range of the export.</summary>
    /// <param name="client">Connected with both contexts of <see cref="NbdMetadataContext"/>.</param>
    /// <param name="offset">First byte, a multiple of the export's minimum block size.</param>
    /// <param name="length">Bytes; 0 gives an empty map.</param>
    /// <param name="ct">Gives up.</param>
    /// <exception cref="NbdCommandException">The server refused a request.</exception>
    /// <exception cref="NbdException">
    /// The link broke, the server did not grant both contexts, or there are more than <see cref="MaxExtents"/> extents.
    /// </exception>
    public static async Task<AllocationMap> ReadAsync(NbdClient client, long offset, long length, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, client.Export.Size - length);
        foreach (string context in (string[])[NbdMetadataContext.AllocationDepth, NbdMetadataContext.BaseAllocation])
        {
            if (!client.Export.MetadataContexts.Contains(context))
            {
                throw new NbdException($"The NBD server did not grant {context}: was the export made with allocation-depth:true?");
            }
        }

        var extents = new List<AllocationExtent>();
        long end = offset + length;
        for (long next = offset; next < end;)
        {
            NbdBlockStatus status = await client.GetBlockStatusAsync(next, (int)Math.Min(end - next, MaxRequest), ct);
            next = Intersect(status[NbdMetadataContext.AllocationDepth], status[NbdMetadataContext.BaseAllocation], extents);
            if (extents.Count > MaxExtents)
            {
                throw new NbdException($"The disk has more than {MaxExtents} extents between {offset} and {next}: read its map in smaller ranges.");
            }
        }

        return new AllocationMap(offset, length, extents);
    }

    /// <summary>Data that still needs streaming: what is only in the backing chain and not zero.</summary>
    public IEnumerable<AllocationExtent> Remaining(int baseDepth = int.MaxValue) =>
        _extents.Where(extent => extent.IsInBackingChain(baseDepth) && !extent.IsZero);

    /// <summary>Holes of the backing chain: nothing to copy, yet only described there.</summary>
    public IEnumerable<AllocationExtent> RemainingHoles(int baseDepth = int.MaxValue) =>
        _extents.Where(extent => extent.IsInBackingChain(baseDepth) && extent.IsZero);

    /// <summary>Bytes of <see cref="Remaining"/>.</summary>
    public long RemainingBytes(int baseDepth = int.MaxValue) => Remaining(baseDepth).Sum(extent => extent.Length);

    /// <summary>The first byte at or after <paramref name="offset"/> that still needs streaming; null where there is none in the map.</summary>
    public long? NextRemaining(long offset, int baseDepth = int.MaxValue)
    {
        for (int i = IndexOf(offset); i < _extents.Count; i++)
        {
            if (_extents[i].IsInBackingChain(baseDepth) && !_extents[i].IsZero)
            {
                return Math.Max(offset, _extents[i].Offset);
            }
        }

        return null;
    }

    /// <summary>
    /// For a block map: the range divided into equal buckets (to a byte), and for each the fraction, 0 to 1, that does
    /// not remain in the backing chain: it is populated, or a hole. A bucket without bytes counts as 1.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than one bucket.</exception>
    public double[] PopulatedFractions(int buckets, int baseDepth = int.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(buckets, 1);
        var fractions = new double[buckets];
        using IEnumerator<AllocationExtent> remaining = Remaining(baseDepth).GetEnumerator();
        bool more = remaining.MoveNext();
        for (var i = 0; i < buckets; i++)
        {
            long start = BucketStart(i);
            long end = BucketStart(i + 1);
            long left = 0;
            while (more && remaining.Current.Offset < end)
            {
                left += Math.Min(end, remaining.Current.End) - Math.Max(start, remaining.Current.Offset);
                if (remaining.Current.End > end)
                {
                    break; // goes on in the next bucket
                }

                more = remaining.MoveNext();
            }

            fractions[i] = start == end ? 1 : 1 - ((double)left / (end - start));
        }

        return fractions;

        long BucketStart(int bucket) => Offset + (long)((Int128)Length * bucket / buckets);
    }

    /// <summary>
    /// Lays two lists of extents that start at the same byte over each other and appends the result, as far as both reach.
    /// </summary>
    /// <returns>The byte up to which both reach.</returns>
    internal static long Intersect(IReadOnlyList<NbdExtent> depths, IReadOnlyList<NbdExtent> allocations, List<AllocationExtent> into)
    {
        long end = Math.Min(depths[^1].End, allocations[^1].End);
        long offset = depths[0].Offset;
        for (int d = 0, a = 0; offset < end;)
        {
            long next = Math.Min(depths[d].End, allocations[a].End);
            var depth = (int)Math.Min(depths[d].Flags, int.MaxValue - 1); // int.MaxValue as baseDepth is beyond any depth
            Append(into, new AllocationExtent(offset, next - offset, depth, (allocations[a].Flags & NbdWire.StateZero) != 0));
            d += depths[d].End == next ? 1 : 0;
            a += allocations[a].End == next ? 1 : 0;
            offset = next;
        }

        return end;
    }

    private static void Append(List<AllocationExtent> extents, AllocationExtent extent)
    {
        if (extents is [.., var last] && last.Depth == extent.Depth && last.IsZero == extent.IsZero)
        {
            extents[^1] = last with { Length = last.Length + extent.Length };
        }
        else
        {
            extents.Add(extent);
        }
    }

    /// <summary>Index of the first extent that ends after <paramref name="offset"/>.</summary>
    private int IndexOf(long offset)
    {
        (int low, int high) = (0, _extents.Count);
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = _extents[middle].End <= offset ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
