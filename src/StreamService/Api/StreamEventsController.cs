using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Microsoft.AspNetCore.Mvc;
using StreamService.Progress;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>What happened to a stream.</summary>
[ApiController]
[Route("streams/{streamId}/events")]
public sealed class StreamEventsController(Caller caller, StreamManager manager, EventStore events) : ControllerBase
{
    /// <summary>The event's number.</summary>
    private const int CursorParts = 1;

    /// <summary>The states that a stream entered, the oldest first.</summary>
    /// <param name="streamId">Its id.</param>
    /// <param name="limit">At most so many, 1 to 1000.</param>
    /// <param name="cursor">Where the page before ended.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<Page<StreamEventView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<Page<StreamEventView>> ListAsync(string streamId, [Range(1, 1000)] int limit = 100, [Cursor(CursorParts)] string? cursor = null, CancellationToken cancellationToken = default)
    {
        if (!Guid.TryParse(streamId, out var id) || !caller.Sees(await manager.FindAsync(id, cancellationToken)))
            throw new StreamNotFoundException($"There is no stream '{streamId}'.");
        var read = await events.ListAsync(id, Position(cursor), limit + 1, cancellationToken);
        return new Page<StreamEventView>(
            [.. read.Take(limit).Select(StreamEventView.From)],
            read.Count > limit ? Cursor.Write(read[limit - 1].Sequence.ToString(CultureInfo.InvariantCulture)) : null);
    }

    private static long Position(string? cursor) =>
        Cursor.Read(cursor, CursorParts) is not { } parts ? 0
            : long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var sequence) ? sequence
            : throw Cursor.Invalid();
}
