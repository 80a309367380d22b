using System.Text.Json.Serialization;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>One page of a list.</summary>
/// <param name="NextCursor">Asks for the next page; null on the last one.</param>
public sealed record Page<T>(IReadOnlyList<T> Items, string? NextCursor);

/// <summary>A configured host.</summary>
/// <param name="LastError">Why it cannot be reached; null while it can.</param>
/// <param name="Driver">The replica that drives it; null where none does at the moment, and where the service has no replicas.</param>
public sealed record HostView(string Name, string Uri, HostState State, string? Hypervisor, string? HypervisorVersion, string? LibvirtVersion, string? LastError, string? Driver)
{
    public static HostView From(HostInfo host, string? driver) => new(
        host.Name,
        host.Uri,
        host.State,
        host.Hypervisor,
        host.HypervisorVersion,
        host.LibvirtVersion,
        host.LastError,
        driver);

    /// <summary>A host of which nobody told anything.</summary>
    public static HostView Silent(string name, string uri, string reason, string? driver) => new(name, uri, HostState.Unreachable, null, null, null, reason, driver);
}

/// <summary>A domain.</summary>
/// <param name="Id">Its UUID.</param>
/// <param name="Host">The configured name of its host.</param>
/// <param name="Deployment">From what this service deployed it; null where it did not.</param>
public sealed record DomainView(Guid Id, string Name, string Host, DomainState State, IReadOnlyList<DiskView> Disks, DeploymentView? Deployment)
{
    public static DomainView From(DomainInfo domain, DeploymentRecord? deployment) => new(
        domain.Id,
        domain.Name,
        domain.Host,
        domain.State,
        [.. domain.Disks.Select(DiskView.From)],
        deployment is null ? null : new DeploymentView(deployment.Image, deployment.Target, deployment.CreatedAt));
}

/// <summary>How a domain came to be.</summary>
/// <param name="Image">As <c>repository/name</c>.</param>
/// <param name="Target">The disk that was made on it.</param>
public sealed record DeploymentView(string Image, string Target, DateTimeOffset CreatedAt);

/// <summary>A disk.</summary>
/// <param name="Target">The name by which the domain's definition calls it.</param>
/// <param name="Source">Path or URI of the active layer; null for an empty drive.</param>
/// <param name="Size">What the guest sees, in bytes; 0 where it is not known.</param>
/// <param name="ClusterSize">Bytes that one populate step brings in at the least; null where the format has none.</param>
/// <param name="BackingChain">The images below the active layer, nearest first.</param>
/// <param name="Streamable">It is writable, has a backing image, and the domain runs or its image can be opened on the service's own machine.</param>
public sealed record DiskView(string Target, string? Source, string Format, long Size, int? ClusterSize, IReadOnlyList<ChainImageView> BackingChain, bool Streamable)
{
    public static DiskView From(DiskInfo disk) => new(
        disk.Target,
        disk.Source,
        disk.Format,
        disk.Size,
        disk.ClusterSize,
        [.. disk.BackingChain.Select(image => new ChainImageView(image.Source, image.Format))],
        disk.Streamable);
}

/// <summary>One backing image.</summary>
public sealed record ChainImageView(string Source, string Format);

/// <summary>The answer to a single step.</summary>
/// <param name="Path">The disk's target.</param>
/// <param name="Offset">Where the next call should go on: a byte that still needs streaming; the disk's size once done.</param>
/// <param name="Size">The disk's size in bytes.</param>
/// <param name="Populated">Bytes that this call brought in.</param>
/// <param name="Done">Nothing is left on the whole disk, all is on stable storage, and the backing link is dropped.</param>
public sealed record StepView(string Path, long Offset, long Size, long Populated, bool Done);

/// <summary>Where a range of a disk's data lies.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<AllocationState>))]
public enum AllocationState
{
    /// <summary>In the overlay.</summary>
    Populated,

    /// <summary>Only in the backing chain.</summary>
    Backing,

    /// <summary>Nowhere, or zeros in the backing chain: needs no streaming.</summary>
    Hole,
}

/// <summary>A range of the disk.</summary>
/// <param name="Depth">0: in no image; 1: in the overlay; 2 and more: only in the backing chain, at that depth.</param>
/// <param name="Zero">Reads as zeros.</param>
public sealed record ExtentView(long Offset, long Length, AllocationState State, int Depth, bool Zero)
{
    public static ExtentView From(AllocationExtent extent) => new(
        extent.Offset,
        extent.Length,
        extent.Depth == 1 ? AllocationState.Populated : extent.Depth == 0 || extent.IsZero ? AllocationState.Hole : AllocationState.Backing,
        extent.Depth,
        extent.IsZero);
}

/// <summary>A disk's allocation map: its extents or, where buckets are asked for, the populated fraction of each.</summary>
/// <param name="Populated">Bytes in the overlay.</param>
/// <param name="Remaining">Bytes only in the backing chain, holes not counted.</param>
/// <param name="Extents">Contiguous, from the first byte to the last; null where buckets were asked for.</param>
/// <param name="Buckets">For each of N equal ranges the fraction, 0 to 1, that is not only in the backing chain.</param>
/// <param name="Holes">Of each bucket the fraction that is a hole: in no image, or zeros in the backing chain.</param>
/// <param name="Durable">Of each bucket the fraction that is in the overlay and that a flush has covered, as far as the stream at work brought it in; null where none is.</param>
/// <param name="Hot">Of each bucket the fraction that the image's profile names; null where there is no profile.</param>
public sealed record AllocationMapView(
    string Path,
    long Size,
    int? ClusterSize,
    long Populated,
    long Remaining,
    IReadOnlyList<ExtentView>? Extents,
    IReadOnlyList<double>? Buckets,
    IReadOnlyList<double>? Holes,
    IReadOnlyList<double>? Durable,
    IReadOnlyList<double>? Hot);
