using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Mvc;
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
    /// <summary>All streams, also those that are over, the newest first.</summary>
    /// <param name="state">Only streams in this state; may be given several times.</param>
    /// <param name="host">Only streams of this host.</param>
    /// <param name="limit">At most so many, 1 to 1000.</param>
    /// <param name="cursor">Where the page before ended.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<Page<StreamStatusView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<StreamStatusView>> ListAsync([FromQuery] StreamState[]? state, string? host, [Range(1, 1000)] int limit = 100, string? cursor = null, CancellationToken cancellationToken = default)
    {
        if (host is not null)
            hosts.Get(host);
        var filter = new StreamFilter(state is { Length: > 0 } ? state : null, host);
        return await StreamPages.ReadAsync(manager, caller, filter, limit, cursor, cancellationToken);
    }

    /// <summary>One stream, also long after its end.</summary>
    [HttpGet("{streamId}")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<StreamStatusView>(StatusCodes.Status200OK, "application/json")]
    public async Task<StreamStatusView> GetAsync(string streamId, CancellationToken cancellationToken) =>
        Guid.TryParse(streamId, out var id) && await manager.FindAsync(id, cancellationToken) is var status && caller.Sees(status)
            ? StreamStatusView.From(status)
            : throw new StreamNotFoundException($"There is no stream '{streamId}'.");
}
