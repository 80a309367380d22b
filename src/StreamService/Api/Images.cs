using System.Text.Json.Serialization;
using StreamService.Deployment.Images;

namespace StreamService.Api;

/// <summary>Whether a repository's folder or server is there.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<RepositoryState>))]
public enum RepositoryState
{
    /// <summary>It answers; its images are listed.</summary>
    Reachable,

    /// <summary>It does not answer: its images are missing from the list, and <c>lastError</c> says why.</summary>
    Unreachable,
}

/// <summary>A configured image repository.</summary>
/// <param name="Uri">As it is configured.</param>
/// <param name="LastError">Why it cannot be reached; null while it can.</param>
public sealed record RepositoryView(string Name, string Uri, RepositoryState State, string? LastError)
{
    public static RepositoryView From(RepositoryListing listing) => new(
        listing.Repository.Name,
        listing.Repository.Uri,
        listing.LastError is null ? RepositoryState.Reachable : RepositoryState.Unreachable,
        listing.LastError);
}

/// <summary>An image of a repository.</summary>
/// <param name="Repository">The configured name of its repository.</param>
/// <param name="Name">Its own name there.</param>
/// <param name="Format"><c>raw</c>, <c>qcow2</c> or <c>qed</c>; null where the image cannot be used.</param>
/// <param name="Size">What a guest sees, in bytes; 0 where the image cannot be used.</param>
/// <param name="ClusterSize">In bytes; null for raw, and where the image cannot be used.</param>
/// <param name="BackingChain">The images below it, nearest first.</param>
/// <param name="Fingerprint">Another one as soon as the image, or one below it, was changed; null where the image cannot be used.</param>
/// <param name="Refusal">Why the image cannot be used, as a sentence without its subject; null where it can.</param>
public sealed record ImageView(
    string Repository,
    string Name,
    string? Format,
    long Size,
    int? ClusterSize,
    IReadOnlyList<ChainImageView> BackingChain,
    string? Fingerprint,
    string? Refusal)
{
    public static ImageView From(ImageEntry entry) => new(
        entry.Name.Repository,
        entry.Name.Name,
        entry.Image?.Format,
        entry.Image?.Size ?? 0,
        entry.Image?.ClusterSize,
        [.. (entry.Image?.BackingChain ?? []).Select(image => new ChainImageView(image.Source, image.Format))],
        entry.Image?.Fingerprint,
        entry.Refusal);
}

/// <summary>A disk whose backing chain has the image in it.</summary>
/// <param name="Host">The configured name of the domain's host.</param>
/// <param name="Domain">The domain's UUID.</param>
/// <param name="DomainName">The domain's name.</param>
/// <param name="Disk">The disk's target.</param>
/// <param name="ImageChanged">Whether somebody changed the image since the disk was made on it; null where this service did not deploy it.</param>
public sealed record ImageUserView(string Host, Guid Domain, string DomainName, string Disk, bool? ImageChanged);

/// <summary>An image, and who uses it.</summary>
/// <param name="Repository">The configured name of its repository.</param>
/// <param name="Name">Its own name there.</param>
/// <param name="Format"><c>raw</c>, <c>qcow2</c> or <c>qed</c>; null where the image cannot be used.</param>
/// <param name="Size">What a guest sees, in bytes; 0 where the image cannot be used.</param>
/// <param name="ClusterSize">In bytes; null for raw, and where the image cannot be used.</param>
/// <param name="BackingChain">The images below it, nearest first.</param>
/// <param name="Fingerprint">Another one as soon as the image, or one below it, was changed; null where the image cannot be used.</param>
/// <param name="Refusal">Why the image cannot be used, as a sentence without its subject; null where it can.</param>
/// <param name="Users">The disks of all hosts that can be reached whose backing chain has the image in it.</param>
public sealed record ImageDetailsView(
    string Repository,
    string Name,
    string? Format,
    long Size,
    int? ClusterSize,
    IReadOnlyList<ChainImageView> BackingChain,
    string? Fingerprint,
    string? Refusal,
    IReadOnlyList<ImageUserView> Users)
{
    public static ImageDetailsView From(ImageEntry entry, IReadOnlyList<ImageUserView> users)
    {
        var image = ImageView.From(entry);
        return new(image.Repository, image.Name, image.Format, image.Size, image.ClusterSize, image.BackingChain, image.Fingerprint, image.Refusal, users);
    }
}

/// <summary>One page of the images.</summary>
/// <param name="NextCursor">Asks for the next page; null on the last one.</param>
/// <param name="Repositories">The repositories that were asked, whatever the page.</param>
public sealed record ImagePage(IReadOnlyList<ImageView> Items, string? NextCursor, IReadOnlyList<RepositoryView> Repositories);
