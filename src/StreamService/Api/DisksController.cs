using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Mvc;
using StreamService.Fleet;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Security;
using StreamService.Streaming;
using StreamService.Streaming.Profiles;

namespace StreamService.Api;

/// <summary>A domain's disks.</summary>
[ApiController]
[Route("domains/{id}/disks/{path}")]
[AtDriver(HostOf.Domain)]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
public sealed class DisksController(VisibleHosts hosts, StreamManager streams, FindProfile findProfile) : ControllerBase
{
    /// <summary>One disk.</summary>
    /// <param name="id">The domain's UUID, or its name where one host only has it.</param>
    /// <param name="path">The disk's target, or its source path percent-encoded.</param>
    [HttpGet]
    [ProducesResponseType<DiskView>(StatusCodes.Status200OK, "application/json")]
    public async Task<DiskView> GetAsync(string id, string path, CancellationToken cancellationToken) =>
        DiskView.From((await hosts.FindDiskAsync(id, DiskPath.Decode(HttpContext), cancellationToken)).Disk);

    /// <summary>The allocation map: what is in the overlay, what is only in the backing chain, what is a hole. Of a shut-off domain only while its disk is being streamed.</summary>
    /// <param name="id">The domain's UUID, or its name where one host only has it.</param>
    /// <param name="path">The disk's target, or its source path percent-encoded.</param>
    /// <param name="buckets">Instead of the extents, the populated fraction of each of so many equal ranges, and what of it is durable, a hole, or read first by guests.</param>
    [HttpGet("map")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status502BadGateway, "application/problem+json")]
    [ProducesResponseType<AllocationMapView>(StatusCodes.Status200OK, "application/json")]
    public async Task<AllocationMapView> GetMapAsync(string id, string path, [Range(1, 65536)] int? buckets, CancellationToken cancellationToken)
    {
        var (hypervisor, domain, disk) = await hosts.FindDiskAsync(id, DiskPath.Decode(HttpContext), cancellationToken);
        if (!domain.CanOpen(disk))
            throw new DomainNotRunningException(domain.Name);
        // Looking at a disk must not keep its domain from being started.
        await using var export = await hypervisor.ExportDiskAsync(domain.Id, disk.Target, evenOff: false, cancellationToken);
        var map = await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken);
        return buckets is { } count
            ? await InBucketsAsync(domain, disk, map, count, cancellationToken)
            : new AllocationMapView(disk.Target, export.Size, disk.ClusterSize, map.PopulatedBytes, map.RemainingBytes(), [.. map.Extents.Select(ExtentView.From)], null, null, null, null);
    }

    private async Task<AllocationMapView> InBucketsAsync(DomainInfo domain, DiskInfo disk, AllocationMap map, int count, CancellationToken cancellationToken)
    {
        var buckets = new Buckets(map.Length, count);
        var populated = map.Extents.Where(extent => extent.Depth == 1).Select(extent => (extent.Offset, extent.Length));
        var durable = streams.FindUnflushed(new DiskAddress(domain.Host, domain.Id, disk.Target)) is { } unflushed
            ? buckets.Fractions(populated).Zip(buckets.Fractions(unflushed), (all, rest) => Math.Max(0, all - rest))
            : null;
        var profile = await findProfile(disk.BackingChain.Select(image => ImageSource.Of(image.Source)), cancellationToken);
        return new AllocationMapView(
            disk.Target,
            map.Length,
            disk.ClusterSize,
            map.PopulatedBytes,
            map.RemainingBytes(),
            Extents: null,
            map.PopulatedFractions(count),
            buckets.Fractions(map.Extents.Where(extent => extent.Depth == 0 || (extent.Depth > 1 && extent.IsZero)).Select(extent => (extent.Offset, extent.Length))),
            durable is null ? null : [.. durable],
            profile is null ? null : buckets.Fractions(profile.Extents.Select(extent => (extent.Offset, extent.Length))));
    }
}
