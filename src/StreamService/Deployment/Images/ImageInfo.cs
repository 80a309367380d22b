using StreamService.Hypervisors;

namespace StreamService.Deployment.Images;

/// <summary>An image that domains can be deployed from.</summary>
/// <param name="Repository">The configured name of its repository.</param>
/// <param name="Name">Its own name there.</param>
/// <param name="Source">What an overlay names as its backing file: the absolute path without links, or the URI in QEMU's form.</param>
/// <param name="Format"><c>raw</c>, <c>qcow2</c> or <c>qed</c>.</param>
/// <param name="Size">What a guest sees, in bytes.</param>
/// <param name="ClusterSize">In bytes; null for raw.</param>
/// <param name="BackingChain">The images below it, nearest first, all of the same repository.</param>
/// <param name="Fingerprint">Another one as soon as somebody changed the image or one below it. Only to be compared.</param>
public sealed record ImageInfo(
    string Repository,
    string Name,
    string Source,
    string Format,
    long Size,
    int? ClusterSize,
    IReadOnlyList<ChainImage> BackingChain,
    string Fingerprint)
{
    /// <summary>
    /// Whether any change shows in the fingerprint. Otherwise it was made of a sample, and most changes do, but data of the image that was
    /// kept must not be mixed with what it holds now.
    /// </summary>
    public bool ShowsEveryChange { get; init; }
}

/// <summary>There is no such repository, or no such image in it.</summary>
public sealed class ImageNotFoundException(string repository, string? image = null)
    : Exception(image is null ? $"There is no image repository '{repository}'." : $"Image repository '{repository}' has no image '{image}'.");

/// <summary>The image is there, and cannot be used.</summary>
/// <param name="reason">Why, as a sentence without its subject: "is not a regular file".</param>
public sealed class ImageRefusedException(ImageName image, string reason) : Exception($"Image '{image}' {reason}.")
{
    /// <summary>Which image.</summary>
    public ImageName Image { get; } = image;

    /// <summary>Why, as a sentence without its subject.</summary>
    public string Reason { get; } = reason;
}

/// <summary>The repository's folder or server cannot be reached, or does not answer in time. Trying later can help.</summary>
public sealed class RepositoryUnreachableException(string repository, string reason, Exception? inner = null)
    : Exception($"Image repository '{repository}' cannot be reached: {reason}", inner)
{
    /// <summary>The configured name of the repository.</summary>
    public string Repository { get; } = repository;

    /// <summary>Why, in the words of the layer that failed.</summary>
    public string Reason { get; } = reason;
}
