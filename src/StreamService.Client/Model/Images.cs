namespace StreamService.Client;

/// <summary>Whether a repository's folder or server is there.</summary>
public enum RepositoryState
{
    Unknown,
    Reachable,
    Unreachable,
}

/// <summary>An image repository that the service is configured with.</summary>
public sealed record Repository : ApiRecord
{
    public string Name { get; init; } = "";

    public string Uri { get; init; } = "";

    public RepositoryState State { get; init; }

    /// <summary>Why it cannot be reached.</summary>
    public string? LastError { get; init; }
}

/// <summary>An image of a repository.</summary>
public sealed record Image : ApiRecord
{
    /// <summary>The configured name of its repository.</summary>
    public string Repository { get; init; } = "";

    /// <summary>Its name there.</summary>
    public string Name { get; init; } = "";

    /// <summary>Null where the image cannot be used.</summary>
    public string? Format { get; init; }

    /// <summary>What a guest sees, in bytes.</summary>
    public long Size { get; init; }

    public int? ClusterSize { get; init; }

    /// <summary>The images below it, nearest first.</summary>
    public IReadOnlyList<ChainImage> BackingChain { get; init; } = [];

    /// <summary>Another one as soon as the image was changed.</summary>
    public string? Fingerprint { get; init; }

    /// <summary>Why the image cannot be used; null where it can.</summary>
    public string? Refusal { get; init; }

    /// <summary>The disks on the image; null in lists.</summary>
    public IReadOnlyList<ImageUser>? Users { get; init; }
}

/// <summary>A disk whose backing chain has an image in it.</summary>
public sealed record ImageUser : ApiRecord
{
    public string Host { get; init; } = "";

    public Guid Domain { get; init; }

    public string DomainName { get; init; } = "";

    /// <summary>The disk's target.</summary>
    public string Disk { get; init; } = "";

    /// <summary>Whether the image was changed under the disk; null where the service did not deploy it.</summary>
    public bool? ImageChanged { get; init; }
}

/// <summary>What guests of an image read first.</summary>
public sealed record ImageProfile : ApiRecord
{
    /// <summary>As <c>repository/name</c>.</summary>
    public string Image { get; init; } = "";

    /// <summary>Of the image when it was learned.</summary>
    public string Fingerprint { get; init; } = "";

    /// <summary>Whether the image is still that one.</summary>
    public bool Current { get; init; }

    /// <summary>How many deployments it was learned from.</summary>
    public int Deployments { get; init; }

    /// <summary>Of all extents.</summary>
    public long Bytes { get; init; }

    public DateTimeOffset UpdatedAt { get; init; }

    /// <summary>By offset.</summary>
    public IReadOnlyList<ProfileExtent> Extents { get; init; } = [];
}

/// <summary>A range that guests read early.</summary>
public sealed record ProfileExtent : ApiRecord
{
    /// <summary>In bytes.</summary>
    public long Offset { get; init; }

    /// <summary>In bytes.</summary>
    public long Length { get; init; }

    /// <summary>How many deployments wanted it; null in a request: all.</summary>
    public int? Deployments { get; init; }

    /// <summary>In milliseconds after the domain's start.</summary>
    public int? FirstReadMs { get; init; }
}

/// <summary>A profile to be set.</summary>
/// <param name="Extents">Without overlaps.</param>
/// <param name="Deployments">How many deployments it stands for. Default 1.</param>
public sealed record ProfileDefinition(IReadOnlyList<ProfileExtent> Extents, int? Deployments = null);
