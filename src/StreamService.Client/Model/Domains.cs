namespace StreamService.Client;

/// <summary>Whether a host answers.</summary>
public enum HostState
{
    Unknown,
    Connected,
    Unreachable,
}

/// <summary>A host that the service is configured with.</summary>
public sealed record Host : ApiRecord
{
    public string Name { get; init; } = "";

    public string Uri { get; init; } = "";

    public HostState State { get; init; }

    public string? Hypervisor { get; init; }

    public string? HypervisorVersion { get; init; }

    public string? LibvirtVersion { get; init; }

    /// <summary>The replica that drives it; null where none does, and where the service is alone.</summary>
    public string? Driver { get; init; }

    /// <summary>Why it cannot be reached.</summary>
    public string? LastError { get; init; }
}

/// <summary>libvirt's states of a domain.</summary>
public enum DomainState
{
    Unknown,
    NoState,
    Running,
    Blocked,
    Paused,
    ShuttingDown,
    ShutOff,
    Crashed,
    Suspended,
}

/// <summary>A domain.</summary>
public sealed record Domain : ApiRecord
{
    /// <summary>Its UUID.</summary>
    public Guid Id { get; init; }

    public string Name { get; init; } = "";

    /// <summary>The configured name of its host.</summary>
    public string Host { get; init; } = "";

    public DomainState State { get; init; }

    public IReadOnlyList<Disk> Disks { get; init; } = [];
}

/// <summary>A disk of a domain.</summary>
public sealed record Disk : ApiRecord
{
    /// <summary>For example <c>vda</c>.</summary>
    public string Target { get; init; } = "";

    /// <summary>Path or URI of the active layer; null for an empty drive.</summary>
    public string? Source { get; init; }

    public string Format { get; init; } = "";

    /// <summary>In bytes; 0 where it is not known.</summary>
    public long Size { get; init; }

    /// <summary>In bytes; null where the format has none.</summary>
    public int? ClusterSize { get; init; }

    /// <summary>The images below the active layer, nearest first.</summary>
    public IReadOnlyList<ChainImage> BackingChain { get; init; } = [];

    /// <summary>Whether it can be streamed now.</summary>
    public bool Streamable { get; init; }
}

/// <summary>An image of a backing chain.</summary>
public sealed record ChainImage : ApiRecord
{
    public string Source { get; init; } = "";

    public string Format { get; init; } = "";
}

/// <summary>Which domains a list is about; members left out do not restrict.</summary>
public sealed record DomainFilter
{
    /// <summary>The configured name of a host.</summary>
    public string? Host { get; init; }

    public DomainState? State { get; init; }
}

/// <summary>Where a range of a disk's data lies.</summary>
public enum AllocationState
{
    Unknown,

    /// <summary>In the overlay.</summary>
    Populated,

    /// <summary>Only in the backing chain.</summary>
    Backing,

    /// <summary>Nowhere, or zeros: needs no streaming.</summary>
    Hole,
}

/// <summary>A range of a disk.</summary>
public sealed record Extent : ApiRecord
{
    /// <summary>In bytes.</summary>
    public long Offset { get; init; }

    /// <summary>In bytes.</summary>
    public long Length { get; init; }

    public AllocationState State { get; init; }

    /// <summary>0: in no image; 1: in the overlay; more: at that depth of the backing chain.</summary>
    public int Depth { get; init; }

    /// <summary>Reads as zeros.</summary>
    public bool Zero { get; init; }
}

/// <summary>A disk's allocation map.</summary>
public sealed record AllocationMap : ApiRecord
{
    /// <summary>The disk's target.</summary>
    public string Path { get; init; } = "";

    /// <summary>In bytes.</summary>
    public long Size { get; init; }

    public int? ClusterSize { get; init; }

    /// <summary>Bytes in the overlay.</summary>
    public long Populated { get; init; }

    /// <summary>Bytes only in the backing chain.</summary>
    public long Remaining { get; init; }

    /// <summary>From the first byte to the last; null where buckets were asked for.</summary>
    public IReadOnlyList<Extent>? Extents { get; init; }

    /// <summary>For each of as many equal ranges as were asked for the fraction, 0 to 1, that is not only in the backing chain.</summary>
    public IReadOnlyList<double>? Buckets { get; init; }
}

/// <summary>The format of a new overlay.</summary>
public enum OverlayFormat
{
    Unknown,
    Qcow2,
    Qed,
}

/// <summary>A domain to deploy from a central image.</summary>
public sealed record DeploymentOptions
{
    /// <summary>The new domain's.</summary>
    public required string Name { get; init; }

    /// <summary>The configured name of the host.</summary>
    public required string Host { get; init; }

    /// <summary>As <c>repository/name</c>.</summary>
    public required string Image { get; init; }

    /// <summary>Of the overlay.</summary>
    public OverlayFormat Format { get; init; } = OverlayFormat.Qcow2;

    public required int MemoryMiB { get; init; }

    public required int Vcpus { get; init; }

    /// <summary>Of the disk, in bytes. Default: the image's.</summary>
    public long? Size { get; init; }

    /// <summary>A libvirt domain description to take all else from. Default: the operator's.</summary>
    public string? DomainXml { get; init; }

    /// <summary>Whether what the guest reads stays in the overlay. Default true.</summary>
    public bool? CopyOnRead { get; init; }

    /// <summary>The stream to begin behind the guest; null for none.</summary>
    public StreamOptions? Stream { get; init; }
}
