using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Mvc;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Security;

namespace StreamService.Api;

/// <summary>A domain's disks.</summary>
[ApiController]
[Route("domains/{id}/disks/{path}")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
public sealed class DisksController(VisibleHosts hosts) : ControllerBase
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
    /// <param name="buckets">Instead of the extents, the populated fraction of each of so many equal ranges.</param>
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
        return new AllocationMapView(
            disk.Target,
            export.Size,
            disk.ClusterSize,
            map.PopulatedBytes,
            map.RemainingBytes(),
            buckets is null ? [.. map.Extents.Select(ExtentView.From)] : null,
            buckets is { } count ? map.PopulatedFractions(count) : null);
    }
}
