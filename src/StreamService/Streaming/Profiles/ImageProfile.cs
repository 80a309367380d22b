using StreamService.Qemu.Disks;

namespace StreamService.Streaming.Profiles;

/// <summary>A range of an image that guests read early.</summary>
/// <param name="Offset">In bytes.</param>
/// <param name="Length">In bytes.</param>
/// <param name="Deployments">How many of the deployments that were looked at wanted it.</param>
/// <param name="FirstReadMs">When they first did, on average: milliseconds after the domain's start.</param>
public readonly record struct ProfileExtent(long Offset, long Length, int Deployments, int FirstReadMs)
{
    /// <summary>The byte after the last.</summary>
    public long End => Offset + Length;
}

/// <summary>
/// What guests of one image read in their first seconds, as copy-on-read alone populated their overlays. Immutable.
/// </summary>
/// <param name="Source">The image: its path or URI.</param>
/// <param name="Fingerprint">Of the image when it was learned; of another image it tells nothing.</param>
/// <param name="Deployments">How many deployments were looked at.</param>
/// <param name="Extents">By offset, without overlaps.</param>
public sealed record ImageProfile(string Source, string Fingerprint, int Deployments, IReadOnlyList<ProfileExtent> Extents, DateTimeOffset UpdatedAt)
{
    /// <summary>The step in which extents are told apart: a cluster of the usual overlay.</summary>
    public const int Block = 64 << 10;

    /// <summary>More than any guest boots from: the rest of what one wrote in that time is no part of the image's profile.</summary>
    public const long LargestBytes = 4L << 30;

    /// <summary>Times are compared in steps of this, so that what is read together stays together.</summary>
    private const int OrderStepMs = 500;

    /// <summary>Bytes of all extents.</summary>
    public long Bytes => Extents.Sum(extent => extent.Length);

    /// <summary>The extents as they should be streamed: what most deployments wanted first, and of that what they wanted soonest.</summary>
    public IEnumerable<ProfileExtent> InOrder() => Extents
        .OrderByDescending(extent => extent.Deployments)
        .ThenBy(extent => extent.FirstReadMs / OrderStepMs)
        .ThenBy(extent => extent.Offset);

    /// <summary>This profile and what one more deployment read.</summary>
    public ImageProfile With(GuestReads reads, DateTimeOffset now)
    {
        var blocks = new SortedDictionary<long, (int Deployments, long Sum)>();
        foreach (var extent in Extents)
            for (var block = extent.Offset / Block; block * Block < extent.End; block++)
                blocks[block] = (extent.Deployments, (long)extent.FirstReadMs * extent.Deployments);
        foreach (var (block, milliseconds) in reads.Blocks)
            blocks[block] = blocks.TryGetValue(block, out var known)
                ? (known.Deployments + 1, known.Sum + milliseconds)
                : (1, milliseconds);
        return this with { Deployments = Deployments + 1, UpdatedAt = now, Extents = Merge(blocks) };
    }

    private static List<ProfileExtent> Merge(SortedDictionary<long, (int Deployments, long Sum)> blocks)
    {
        var extents = new List<ProfileExtent>();
        foreach (var (block, (deployments, sum)) in blocks)
        {
            var extent = new ProfileExtent(block * Block, Block, deployments, (int)(sum / deployments));
            if (extents is [.., var last] && last.End == extent.Offset && last.Deployments == deployments
                && last.FirstReadMs / OrderStepMs == extent.FirstReadMs / OrderStepMs)
                extents[^1] = last with { Length = last.Length + Block, FirstReadMs = Math.Min(last.FirstReadMs, extent.FirstReadMs) };
            else
                extents.Add(extent);
        }
        return extents;
    }
}

/// <summary>The profile of the first of these images (paths or URIs) that has one; null where none has.</summary>
public delegate Task<ImageProfile?> FindProfile(IEnumerable<string> sources, CancellationToken cancellationToken);

/// <summary>What one guest had populated by itself, and when it was first seen.</summary>
public sealed class GuestReads
{
    private readonly Dictionary<long, int> _blocks = [];

    /// <summary>Numbers of blocks of <see cref="ImageProfile.Block"/> bytes, and the milliseconds after which each was first seen.</summary>
    public IReadOnlyDictionary<long, int> Blocks => _blocks;

    /// <summary>Takes a look at the overlay: all that is in it and was not before was read (or written) since.</summary>
    public void Look(AllocationMap map, int milliseconds)
    {
        foreach (var extent in map.Extents.Where(extent => extent.Depth == 1))
            for (var block = extent.Offset / ImageProfile.Block; block * ImageProfile.Block < extent.End; block++)
            {
                if (_blocks.Count >= ImageProfile.LargestBytes / ImageProfile.Block)
                    return;
                _blocks.TryAdd(block, milliseconds);
            }
    }
}
