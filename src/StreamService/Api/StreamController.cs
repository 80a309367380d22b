using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using StreamService.Fleet;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Security;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>A disk's stream.</summary>
[ApiController]
[Route("domains/{id}/disks/{path}")]
[AtDriver(HostOf.Domain)]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
public sealed class StreamController(VisibleHosts hosts, Caller caller, StreamManager manager, MigrationManager migrations) : ControllerBase
{
    /// <summary>Streams the whole disk in the background (mode full), or one unit now (mode single).</summary>
    /// <param name="id">The domain's UUID, or its name where one host only has it.</param>
    /// <param name="path">The disk's target, or its source path percent-encoded.</param>
    /// <param name="request">What to stream, and how.</param>
    /// <response code="200">single: what the call brought in, and where to go on.</response>
    /// <response code="202">full: accepted; Location is the status URL.</response>
    [HttpPost("stream")]
    [Authorize(Scopes.StreamsWrite)]
    [Idempotent]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status413PayloadTooLarge, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status415UnsupportedMediaType, "application/problem+json")]
    [ProducesResponseType<StepView>(StatusCodes.Status200OK, "application/json")]
    [ProducesResponseType<StreamStatusView>(StatusCodes.Status202Accepted, "application/json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status502BadGateway, "application/problem+json")]
    public async Task<IActionResult> StartAsync(string id, string path, [FromBody] StreamRequest request, CancellationToken cancellationToken)
    {
        var (hypervisor, domain, disk) = await hosts.FindDiskAsync(id, DiskPath.Decode(HttpContext), cancellationToken);
        // Until the switch the disk's layers are the migration's; afterwards its own streams are at work.
        if (migrations.FindActive(domain.Id) is { SwitchedAt: null } migration)
            throw new MigrationActiveException(migration);
        if (request.Mode == StreamMode.Full)
        {
            var status = await manager.StartAsync(hypervisor, domain, disk, request.ToSpec(), IdempotencyFilter.KeyOf(HttpContext), cancellationToken);
            return Accepted(DiskPath.StatusUrl(status.Disk), StreamStatusView.From(status));
        }
        var offset = request.Offset ?? 0;
        if (domain.IsActive && offset >= disk.Size && disk.Size > 0)
            throw new InvalidRequestException("offset", $"must be below the disk's size, {disk.Size}; was {offset}.");
        var step = await manager.StepAsync(hypervisor, domain, disk, request.Base, offset, request.Length, cancellationToken);
        return Ok(new StepView(disk.Target, step.Offset, step.Size, step.Populated, Done: !step.Remaining));
    }

    /// <summary>Changes the disk's stream at once: bandwidth, policy, target latency, priority; pauses or resumes it.</summary>
    [HttpPatch("stream")]
    [Authorize(Scopes.StreamsWrite)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status413PayloadTooLarge, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status415UnsupportedMediaType, "application/problem+json")]
    [ProducesResponseType<StreamStatusView>(StatusCodes.Status200OK, "application/json")]
    public async Task<StreamStatusView> ChangeAsync(string id, string path, [FromBody] StreamChangeRequest request, CancellationToken cancellationToken)
    {
        var change = request.ToChange();
        var disk = await FindAsync(id, cancellationToken);
        return StreamStatusView.From(await manager.ChangeAsync(disk.Address, change, cancellationToken));
    }

    /// <summary>Cancels the disk's stream. What was populated stays, and a later stream goes on from it.</summary>
    [HttpDelete("stream")]
    [Authorize(Scopes.StreamsWrite)]
    [ProducesResponseType<StreamStatusView>(StatusCodes.Status202Accepted, "application/json")]
    public async Task<IActionResult> CancelAsync(string id, string path, CancellationToken cancellationToken)
    {
        var disk = await FindAsync(id, cancellationToken);
        var status = await manager.CancelAsync(disk.Address, cancellationToken);
        return Accepted(DiskPath.StatusUrl(status.Disk), StreamStatusView.From(status));
    }

    /// <summary>The status of the disk's newest stream.</summary>
    /// <param name="id">The domain's UUID, or its name where one host only has it.</param>
    /// <param name="path">The disk's target, or its source path percent-encoded.</param>
    /// <param name="waitForGeneration">Answers once the status has reached this generation.</param>
    /// <param name="timeoutSeconds">Waits no longer than this; then the present status is answered.</param>
    [HttpGet("status")]
    [ProducesResponseType<StreamStatusView>(StatusCodes.Status200OK, "application/json")]
    public async Task<StreamStatusView> GetStatusAsync(string id, string path, [Range(0, long.MaxValue)] long? waitForGeneration,
        [Range(0.0, 300.0)] double timeoutSeconds = 30, CancellationToken cancellationToken = default)
    {
        var (address, domainName, size) = await FindAsync(id, cancellationToken);
        var status = waitForGeneration is { } generation
            ? await manager.WaitForGenerationAsync(address, generation, TimeSpan.FromSeconds(timeoutSeconds), cancellationToken)
            : await manager.FindLatestAsync(address, cancellationToken);
        return status is null ? StreamStatusView.Idle(address, domainName, size) : StreamStatusView.From(status);
    }

    private async Task<(DiskAddress Address, string DomainName, long Size)> FindAsync(string id, CancellationToken cancellationToken)
    {
        var path = DiskPath.Decode(HttpContext);
        try
        {
            var (_, domain, disk) = await hosts.FindDiskAsync(id, path, cancellationToken);
            return (new DiskAddress(domain.Host, domain.Id, disk.Target), domain.Name, disk.Size);
        }
        catch (HostUnreachableException)
        {
            // A stream that waits for its host can still be watched, changed and cancelled, and one that is over has an outcome.
            if (await manager.FindLatestAsync(id, path, caller.Sees, cancellationToken) is not { } status)
                throw;
            return (status.Disk, status.DomainName, status.Size);
        }
    }
}
