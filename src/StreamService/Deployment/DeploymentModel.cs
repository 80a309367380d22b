using StreamService.Deployment.Images;
using StreamService.Streaming;

namespace StreamService.Deployment;

/// <summary>How far a deployment is. What a crash leaves in another state than <see cref="Deployed"/> is brought to its end by the next service.</summary>
public enum DeploymentState
{
    /// <summary>It is being made; nobody was told of it. After a crash it is undone.</summary>
    Deploying,

    /// <summary>The domain is there.</summary>
    Deployed,

    /// <summary>The domain is being removed, its overlay stays.</summary>
    Removing,

    /// <summary>Domain and overlay are being removed.</summary>
    RemovingWithStorage,
}

/// <summary>What a caller wants deployed.</summary>
/// <param name="Name">The domain's; valid by <see cref="DomainName"/>.</param>
/// <param name="Host">The configured name of the host.</param>
/// <param name="Image">The image to deploy from.</param>
/// <param name="Format">Of the overlay: qcow2 or qed.</param>
/// <param name="Size">Of the disk, in bytes; null: as the image.</param>
/// <param name="DomainXml">The caller's template; null for the host operator's, or the service's own.</param>
/// <param name="CopyOnRead">Whether what the guest reads stays in the overlay.</param>
/// <param name="Stream">The stream to begin; null for none.</param>
public sealed record DeploymentSpec(
    string Name,
    string Host,
    ImageName Image,
    string Format,
    int MemoryMiB,
    int Vcpus,
    long? Size,
    string? DomainXml,
    bool CopyOnRead,
    StreamSpec? Stream);

/// <summary>Why a deployment was refused. Each is a code of the API.</summary>
public enum DeploymentRefusal
{
    /// <summary>The host has a domain of that name, or is about to.</summary>
    DomainExists,

    /// <summary>The host is no libvirt of this machine: overlays cannot be made for it.</summary>
    HostNotSuitable,

    /// <summary>The whole disk would not find room.</summary>
    InsufficientStorage,

    /// <summary>The disk would be smaller than its image.</summary>
    SizeTooSmall,

    /// <summary>The domain was not deployed by this service, so it is not for it to remove.</summary>
    NotDeployed,
}

/// <summary>A deployment, or its removal, was refused; what had been done for it was undone.</summary>
public sealed class DeploymentRefusedException(DeploymentRefusal refusal, string detail, Exception? inner = null) : Exception(detail, inner)
{
    /// <summary>Why.</summary>
    public DeploymentRefusal Refusal { get; } = refusal;
}
