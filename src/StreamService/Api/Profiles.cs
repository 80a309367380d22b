using System.ComponentModel.DataAnnotations;
using StreamService.Deployment.Images;
using StreamService.Streaming.Profiles;

namespace StreamService.Api;

/// <summary>The body of PUT /images/{repository}/{name}/profile.</summary>
public sealed class ProfileRequest
{
    /// <summary>What guests read first. In any order, without overlaps.</summary>
    [Required(ErrorMessage = "is required: the extents that guests read first.")]
    public List<ProfileExtentRequest>? Extents { get; set; }

    /// <summary>How many deployments this stands for; from as many as the configuration names on, no more are learned from. Default 1.</summary>
    [Range(1, 1_000_000, ErrorMessage = "must be 1 to 1000000.")]
    public int? Deployments { get; set; }

    /// <exception cref="InvalidRequestException">Lists every fault.</exception>
    internal ImageProfile ToProfile(ImageInfo image, DateTimeOffset now)
    {
        var faults = new Dictionary<string, string[]>();
        var deployments = Deployments ?? 1;
        var extents = new List<(int Index, ProfileExtent Extent)>();
        for (var i = 0; i < Extents!.Count; i++)
        {
            var asked = Extents[i];
            if (asked.Offset is not { } offset || offset < 0 || offset >= image.Size)
                faults[$"extents.{i}.offset"] = [$"must be 0 or more and below the image's size, {image.Size}."];
            else if (asked.Length is not { } length || length < 1 || length > image.Size - offset)
                faults[$"extents.{i}.length"] = [$"must be 1 or more and end within the image's {image.Size} bytes."];
            else if (asked.Deployments is { } count && (count < 1 || count > deployments))
                faults[$"extents.{i}.deployments"] = [$"must be 1 to {deployments}."];
            else if (asked.FirstReadMs is < 0)
                faults[$"extents.{i}.firstReadMs"] = ["must not be negative."];
            else
                extents.Add((i, new ProfileExtent(offset, length, asked.Deployments ?? deployments, asked.FirstReadMs ?? 0)));
        }
        extents.Sort((left, right) => left.Extent.Offset.CompareTo(right.Extent.Offset));
        foreach (var (before, after) in extents.Zip(extents.Skip(1)))
            if (after.Extent.Offset < before.Extent.End)
                faults[$"extents.{after.Index}.offset"] = [$"lies within extents.{before.Index}."];
        if (extents.Sum(extent => extent.Extent.Length) > ImageProfile.LargestBytes)
            faults["extents"] = [$"must hold {ImageProfile.LargestBytes} bytes at the most."];
        if (faults.Count > 0)
            throw new InvalidRequestException(faults);
        return new ImageProfile(image.Source, image.Fingerprint, deployments, [.. extents.Select(extent => extent.Extent)], now);
    }
}

/// <summary>A range that guests read early.</summary>
public sealed class ProfileExtentRequest
{
    /// <summary>In bytes.</summary>
    public long? Offset { get; set; }

    /// <summary>In bytes.</summary>
    public long? Length { get; set; }

    /// <summary>How many of the deployments wanted it: the more, the sooner it is streamed. Default: all.</summary>
    public int? Deployments { get; set; }

    /// <summary>Milliseconds after the domain's start: of two that as many wanted, the sooner goes first. Default 0.</summary>
    public int? FirstReadMs { get; set; }
}

/// <summary>What guests of an image read first.</summary>
/// <param name="Image">As <c>repository/name</c>.</param>
/// <param name="Fingerprint">Of the image when it was learned.</param>
/// <param name="Current">Whether the image is still the one that it was learned from; a profile of another is not used for new deployments.</param>
/// <param name="Deployments">How many deployments it was learned from.</param>
/// <param name="Bytes">Of all extents.</param>
/// <param name="Extents">By offset.</param>
public sealed record ProfileView(string Image, string Fingerprint, bool Current, int Deployments, long Bytes, DateTimeOffset UpdatedAt, IReadOnlyList<ProfileExtentView> Extents)
{
    public static ProfileView From(ImageProfile profile, ImageInfo image) => new(
        $"{image.Repository}/{image.Name}",
        profile.Fingerprint,
        profile.Fingerprint == image.Fingerprint,
        profile.Deployments,
        profile.Bytes,
        profile.UpdatedAt,
        [.. profile.Extents.Select(extent => new ProfileExtentView(extent.Offset, extent.Length, extent.Deployments, extent.FirstReadMs))]);
}

/// <summary>A range that guests read early.</summary>
/// <param name="Deployments">How many deployments wanted it.</param>
/// <param name="FirstReadMs">When they first did, in milliseconds after the domain's start, on average.</param>
public sealed record ProfileExtentView(long Offset, long Length, int Deployments, int FirstReadMs);
