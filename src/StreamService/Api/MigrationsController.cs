using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using StreamService.Fleet;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Security;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>Post-copy block migration: a domain goes to another host in the time that its memory takes, its disks follow.</summary>
[ApiController]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
public sealed class MigrationsController(VisibleHosts hosts, Caller caller, MigrationManager manager) : ControllerBase
{
    /// <summary>Migrates a running domain with its disks. Answers once nothing stands in the way; what would, is told all at once.</summary>
    /// <param name="id">The domain's UUID, or its name where one host only has it.</param>
    /// <param name="request">Where to, and how.</param>
    /// <param name="cancellationToken"></param>
    /// <response code="202">It is on its way; Location is the migration's URL.</response>
    [HttpPost("domains/{id}/migrations")]
    [AtDriver(HostOf.Domain)]
    [Authorize(Scopes.MigrationsWrite)]
    [Idempotent]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status413PayloadTooLarge, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status415UnsupportedMediaType, "application/problem+json")]
    [ProducesResponseType<MigrationView>(StatusCodes.Status202Accepted, "application/json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status502BadGateway, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    public async Task<IActionResult> StartAsync(string id, [FromBody] MigrationRequest request, CancellationToken cancellationToken)
    {
        await hosts.FindDomainAsync(id, cancellationToken);
        hosts.Expect(request.Destination!);
        var status = await manager.StartAsync(id, request.ToSpec(), IdempotencyFilter.KeyOf(HttpContext), cancellationToken);
        return Accepted($"/migrations/{status.MigrationId}", MigrationView.From(status));
    }

    /// <summary>Migrations, the newest first.</summary>
    /// <param name="state">Only those in this state.</param>
    /// <param name="host">Only those from or to this host.</param>
    /// <param name="domain">Only those of this domain, by its UUID or, where a host has it, its name.</param>
    /// <param name="limit">At most so many, 1 to 1000.</param>
    /// <param name="cursor">Where the page before ended.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet("migrations")]
    [AtDriver(HostOf.DomainQuery)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<Page<MigrationView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<MigrationView>> ListAsync([FromQuery] MigrationState[]? state, string? host, string? domain, [Range(1, 1000)] int limit = 100, [Cursor(NewestFirst.CursorParts)] string? cursor = null,
        CancellationToken cancellationToken = default)
    {
        if (host is not null)
            hosts.Expect(host);
        var id = domain is null ? (Guid?)null
            : Guid.TryParse(domain, out var uuid) ? uuid
            : (await hosts.FindDomainAsync(domain, cancellationToken)).Domain.Id;
        var filter = new MigrationFilter(state is { Length: > 0 } ? state : null, host, id);
        return await NewestFirst.ReadAsync(
            cursor,
            limit,
            caller.Sees,
            (after, count) => manager.ListAsync(filter, after, count, cancellationToken),
            status => new PagePosition(status.CreatedAt, status.MigrationId),
            MigrationView.From);
    }

    /// <summary>One migration.</summary>
    /// <param name="migrationId">Its id.</param>
    /// <param name="waitForGeneration">Answers once the migration has reached this generation or is over.</param>
    /// <param name="timeoutSeconds">Answers after so many seconds at the latest, 0 to 300; 30 unless told otherwise.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet("migrations/{migrationId}")]
    [AtDriver(HostOf.Migration)]
    [ProducesResponseType<MigrationView>(StatusCodes.Status200OK, "application/json")]
    public async Task<MigrationView> GetAsync(string migrationId, [Range(0, long.MaxValue)] long? waitForGeneration, [Range(0.0, 300.0)] double timeoutSeconds = 30, CancellationToken cancellationToken = default) =>
        MigrationView.From(waitForGeneration is { } generation
            ? await manager.WaitForGenerationAsync(await ReadAsync(migrationId, cancellationToken), generation, TimeSpan.FromSeconds(timeoutSeconds), cancellationToken)
            : await manager.FindAsync(await ReadAsync(migrationId, cancellationToken), cancellationToken));

    /// <summary>Before the switch: undoes the migration. Once it is completed, with storage=true: deletes what it left on the source.</summary>
    /// <param name="migrationId">Its id.</param>
    /// <param name="storage">Whether the files are meant.</param>
    /// <param name="cancellationToken"></param>
    /// <response code="202">It goes back to where it was; or the files are deleted.</response>
    [HttpDelete("migrations/{migrationId}")]
    [AtDriver(HostOf.Migration)]
    [Authorize(Scopes.MigrationsWrite)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<MigrationView>(StatusCodes.Status202Accepted, "application/json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    public async Task<IActionResult> DeleteAsync(string migrationId, bool storage = false, CancellationToken cancellationToken = default)
    {
        var migration = await ReadAsync(migrationId, cancellationToken);
        var status = storage ? await manager.RemoveLeftAsync(migration, cancellationToken) : await manager.CancelAsync(migration, cancellationToken);
        return Accepted($"/migrations/{status.MigrationId}", MigrationView.From(status));
    }

    private async Task<Guid> ReadAsync(string migrationId, CancellationToken cancellationToken) =>
        Guid.TryParse(migrationId, out var id) && caller.Sees(await manager.FindAsync(id, cancellationToken)) ? id : throw new MigrationNotFoundException(migrationId);
}
