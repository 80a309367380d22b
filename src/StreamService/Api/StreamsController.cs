using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Mvc;
using StreamService.Fleet;
using StreamService.Progress;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>Streams, wherever their disks are.</summary>
[ApiController]
[Route("streams")]
public sealed class StreamsController(VisibleHosts hosts, Caller caller, StreamManager manager) : ControllerBase
{
    /// <summary>Characters; each word of it is looked for in every record.</summary>
    private const int LongestSearch = 200;

    /// <summary>All streams, also those that are over; the newest first unless told otherwise.</summary>
    /// <remarks>Rate, time to the end and bytes left are sorted as they were a second ago at the most. A stream whose place changes between two pages may come twice, or not at all.</remarks>
    /// <param name="state">Only streams in this state; may be given several times.</param>
    /// <param name="host">Only streams of this host.</param>
    /// <param name="q">Words, each of which must be part of the domain's name, the disk's target or the host's name, in whatever case; or an id of a stream or a domain.</param>
    /// <param name="latest">Only the newest stream of each disk: one that failed counts for nothing once another was begun.</param>
    /// <param name="sort">What they are sorted by.</param>
    /// <param name="direction">Default: names from the first letter, the soonest end first, all else from the newest or the largest.</param>
    /// <param name="limit">At most so many, 1 to 1000.</param>
    /// <param name="cursor">Where the page before ended.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<Page<StreamStatusView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<StreamStatusView>> ListAsync(
        [FromQuery] StreamState[]? state, string? host, [MaxLength(LongestSearch)] string? q, bool latest = false, StreamSort sort = StreamSort.Created, SortDirection? direction = null,
        [Range(1, 1000)] int limit = 100, [Cursor(StreamPages.CursorParts)] string? cursor = null, CancellationToken cancellationToken = default) =>
        await StreamPages.ReadAsync(manager, caller, Filter(state, host, q) with { LatestOnly = latest }, StreamOrdering.By(sort, direction), limit, cursor, cancellationToken);

    /// <summary>What streams add up to, all and by host: how many are in each state, what is left, how fast it goes.</summary>
    /// <param name="host">Only streams of this host.</param>
    /// <param name="q">As of the list.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet("summary")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<StreamSummaryView>(StatusCodes.Status200OK, "application/json")]
    public async Task<StreamSummaryView> SumAsync(string? host, [MaxLength(LongestSearch)] string? q, CancellationToken cancellationToken)
    {
        var filter = caller.Within(Filter([], host, q));
        return StreamSummaryView.From(await manager.SumAsync(filter, cancellationToken), await manager.CountAttentionAsync(filter, cancellationToken));
    }

    /// <summary>One stream, also long after its end.</summary>
    [HttpGet("{streamId}")]
    [AtDriver(HostOf.Stream)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<StreamStatusView>(StatusCodes.Status200OK, "application/json")]
    public async Task<StreamStatusView> GetAsync(string streamId, CancellationToken cancellationToken) =>
        Guid.TryParse(streamId, out var id) && await manager.FindAsync(id, cancellationToken) is var status && caller.Sees(status)
            ? StreamStatusView.From(status)
            : throw new StreamNotFoundException($"There is no stream '{streamId}'.");

    private StreamFilter Filter(StreamState[]? states, string? host, string? q)
    {
        if (host is not null)
            hosts.Expect(host);
        return new StreamFilter(states is { Length: > 0 } ? states : null, host) { Search = q };
    }
}
