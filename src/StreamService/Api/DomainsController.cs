using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Mvc;
using StreamService.Hypervisors;
using StreamService.Progress;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>Domains.</summary>
[ApiController]
[Route("domains")]
public sealed class DomainsController(HostDirectory hosts, StreamManager manager) : ControllerBase
{
    /// <summary>The domains of all hosts that can be reached, by host and name.</summary>
    /// <param name="host">Only this host's. If it cannot be reached, the call fails.</param>
    /// <param name="state">Only domains in this state.</param>
    /// <param name="limit">At most so many, 1 to 1000.</param>
    /// <param name="cursor">Where the page before ended.</param>
    [HttpGet]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<Page<DomainView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<DomainView>> ListAsync(string? host, DomainState? state, [Range(1, 1000)] int limit = 100, string? cursor = null, CancellationToken cancellationToken = default)
    {
        var after = Cursor.Read(cursor, parts: 3);
        var domains = host is null
            ? await ListReachableAsync(cancellationToken)
            : await (hosts.Find(host) ?? throw new HostNotFoundException(host)).ListDomainsAsync(cancellationToken);
        var page = domains
            .Select(DomainView.From)
            .Where(domain => state is null || domain.State == state)
            .Select(domain => (Domain: domain, Key: new[] { domain.Host, domain.Name, domain.Id.ToString() }))
            .OrderBy(item => item.Key, OrdinalKeys.Comparer)
            .Where(item => after is null || OrdinalKeys.Comparer.Compare(item.Key, after) > 0)
            .Take(limit + 1)
            .ToList();
        return new Page<DomainView>(
            [.. page.Take(limit).Select(item => item.Domain)],
            page.Count > limit ? Cursor.Write(page[limit - 1].Key) : null);
    }

    /// <summary>One domain.</summary>
    /// <param name="id">Its UUID, or its name where one host only has it.</param>
    [HttpGet("{id}")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<DomainView>(StatusCodes.Status200OK, "application/json")]
    public async Task<DomainView> GetAsync(string id, CancellationToken cancellationToken) =>
        DomainView.From((await hosts.FindDomainAsync(id, cancellationToken)).Domain);

    /// <summary>The streams of a domain's disks, the newest first.</summary>
    [HttpGet("{id}/streams")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<Page<StreamStatusView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<StreamStatusView>> ListStreamsAsync(string id, [Range(1, 1000)] int limit = 100, string? cursor = null, CancellationToken cancellationToken = default)
    {
        var (_, domain) = await hosts.FindDomainAsync(id, cancellationToken);
        return await StreamPages.ReadAsync(manager, new StreamFilter(Host: domain.Host, Domain: domain.Id), limit, cursor, cancellationToken);
    }

    private async Task<IReadOnlyList<DomainInfo>> ListReachableAsync(CancellationToken cancellationToken)
    {
        var lists = await Task.WhenAll(hosts.All.Select(async hypervisor =>
        {
            try
            {
                return await hypervisor.ListDomainsAsync(cancellationToken);
            }
            catch (HostUnreachableException)
            {
                // GET /hosts says so; the other hosts' domains are worth more than a failed call.
                return [];
            }
        }));
        return [.. lists.SelectMany(list => list)];
    }

    private sealed class OrdinalKeys : IComparer<string[]>
    {
        public static readonly OrdinalKeys Comparer = new();

        public int Compare(string[]? left, string[]? right) => left!.Zip(right!, string.CompareOrdinal).FirstOrDefault(order => order != 0);
    }
}
