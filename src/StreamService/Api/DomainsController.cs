using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using StreamService.Deployment;
using StreamService.Fleet;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>Domains.</summary>
[ApiController]
[Route("domains")]
public sealed class DomainsController(VisibleHosts hosts, Caller caller, StreamManager manager, Deployer deployer, DeploymentStore deployments, MigrationManager migrations, Peers peers) : ControllerBase
{
    /// <summary>Host, name and id.</summary>
    private const int CursorParts = 3;

    /// <summary>The domains of all hosts that can be reached, by host and name.</summary>
    /// <param name="host">Only this host's. If it cannot be reached, the call fails.</param>
    /// <param name="state">Only domains in this state.</param>
    /// <param name="limit">At most so many, 1 to 1000.</param>
    /// <param name="cursor">Where the page before ended.</param>
    [HttpGet]
    [AtDriver(HostOf.Query)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<Page<DomainView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<DomainView>> ListAsync(string? host, DomainState? state, [Range(1, 1000)] int limit = 100, [Cursor(CursorParts)] string? cursor = null, CancellationToken cancellationToken = default)
    {
        var after = Cursor.Read(cursor, CursorParts);
        var others = host is null ? await peers.AskAllAsync<Page<DomainView>>(HttpContext) : [];
        var page = (await hosts.ListDomainsAsync(host, cancellationToken))
            .Where(domain => state is null || domain.State == state)
            .Select(domain => (Own: (DomainInfo?)domain, Others: (DomainView?)null, Key: new[] { domain.Host, domain.Name, domain.Id.ToString() }))
            .Concat(others.SelectMany(other => other.Items).Select(view => (Own: (DomainInfo?)null, Others: (DomainView?)view, Key: new[] { view.Host, view.Name, view.Id.ToString() })))
            .OrderBy(item => item.Key, OrdinalKeys.Comparer)
            .Where(item => after is null || OrdinalKeys.Comparer.Compare(item.Key, after) > 0)
            .Take(limit + 1)
            .ToList();
        var deployed = await deployments.ListOfAsync([.. page.Take(limit).Where(item => item.Own is not null).Select(item => item.Own!.Id)], cancellationToken);
        return new Page<DomainView>(
            [.. page.Take(limit).Select(item => item.Others ?? DomainView.From(item.Own!, deployed.GetValueOrDefault(item.Own!.Id)))],
            page.Count > limit || (page.Count == limit && others.Any(other => other.NextCursor is not null)) ? Cursor.Write(page[limit - 1].Key) : null);
    }

    /// <summary>One domain.</summary>
    /// <param name="id">Its UUID, or its name where one host only has it.</param>
    [HttpGet("{id}")]
    [AtDriver(HostOf.Domain)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<DomainView>(StatusCodes.Status200OK, "application/json")]
    public async Task<DomainView> GetAsync(string id, CancellationToken cancellationToken) =>
        await ViewAsync((await hosts.FindDomainAsync(id, cancellationToken)).Domain, cancellationToken);

    /// <summary>Deploys a domain from a central image: it boots at once, its disk is streamed behind it. Answers when it runs.</summary>
    /// <remarks>What fails at any step is undone, and so is what a crash of the service cut short.</remarks>
    /// <param name="request">What to deploy, from which image, where.</param>
    /// <param name="cancellationToken"></param>
    /// <response code="201">The domain runs; Location is its URL.</response>
    [HttpPost]
    [AtDriver(HostOf.Body)]
    [Authorize(Scopes.DomainsWrite)]
    [Idempotent]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status413PayloadTooLarge, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status415UnsupportedMediaType, "application/problem+json")]
    [ProducesResponseType<DomainView>(StatusCodes.Status201Created, "application/json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status502BadGateway, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status507InsufficientStorage, "application/problem+json")]
    public async Task<IActionResult> DeployAsync([FromBody] DeploymentRequest request, CancellationToken cancellationToken)
    {
        hosts.Get(request.Host!);
        if (caller.Labels.Count > 0)
            throw new ForbiddenException($"'{caller.Name}' is limited to domains with a label of {string.Join(", ", caller.Labels)}; a new domain has none.");
        var domain = await deployer.DeployAsync(request.ToSpec(), IdempotencyFilter.KeyOf(HttpContext), cancellationToken);
        return Created($"/domains/{domain.Id}", await ViewAsync(domain, cancellationToken));
    }

    /// <summary>Stops and removes a domain that this service deployed.</summary>
    /// <param name="id">Its UUID, or its name where one host only has it.</param>
    /// <param name="storage">Whether its overlay is deleted too; else the file stays.</param>
    /// <param name="cancellationToken"></param>
    [HttpDelete("{id}")]
    [AtDriver(HostOf.Domain)]
    [Authorize(Scopes.DomainsWrite)]
    [ProducesResponseType(StatusCodes.Status204NoContent)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status502BadGateway, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    public async Task<IActionResult> RemoveAsync(string id, bool storage = false, CancellationToken cancellationToken = default)
    {
        // One that is gone from its host may still have left its overlay: only who is not limited can be told apart from its owner.
        if (caller.IsLimited)
            await hosts.FindDomainAsync(id, cancellationToken);
        if (migrations.FindActive(id) is { } migration)
            throw new MigrationActiveException(migration);
        await deployer.RemoveAsync(id, storage, cancellationToken);
        return NoContent();
    }

    /// <summary>The streams of a domain's disks, the newest first.</summary>
    [HttpGet("{id}/streams")]
    [AtDriver(HostOf.Domain)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<Page<StreamStatusView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<StreamStatusView>> ListStreamsAsync(string id, [Range(1, 1000)] int limit = 100, [Cursor(StreamPages.CursorParts)] string? cursor = null, CancellationToken cancellationToken = default)
    {
        var (_, domain) = await hosts.FindDomainAsync(id, cancellationToken);
        return await StreamPages.ReadAsync(manager, caller, new StreamFilter(Host: domain.Host, Domain: domain.Id), StreamOrdering.Newest, limit, cursor, cancellationToken);
    }

    private async Task<DomainView> ViewAsync(DomainInfo domain, CancellationToken cancellationToken) =>
        DomainView.From(domain, (await deployments.ListOfAsync([domain.Id], cancellationToken)).GetValueOrDefault(domain.Id));
}
