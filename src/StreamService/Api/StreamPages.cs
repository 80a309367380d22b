using StreamService.Progress;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>Pages of streams.</summary>
internal static class StreamPages
{
    /// <summary>Order, key and id.</summary>
    public const int CursorParts = 3;

    /// <exception cref="InvalidRequestException">The cursor is none of ours, or of a list in another order.</exception>
    public static async Task<Page<StreamStatusView>> ReadAsync(
        StreamManager manager, Caller caller, StreamFilter filter, StreamOrdering ordering, int limit, string? cursor, CancellationToken cancellationToken)
    {
        var listed = await manager.ListAsync(caller.Within(filter), ordering, Position(cursor, ordering), limit + 1, cancellationToken);
        var last = listed.Count > limit ? listed[limit - 1].Position : null;
        return new Page<StreamStatusView>(
            [.. listed.Take(limit).Select(stream => StreamStatusView.From(stream.Status))],
            last is null ? null : Cursor.Write(ordering.Name, last.Key, last.Id.ToString()));
    }

    private static StreamPosition? Position(string? cursor, StreamOrdering ordering)
    {
        if (Cursor.Read(cursor, CursorParts) is not { } parts)
            return null;
        return parts[0] == ordering.Name && ordering.IsKey(parts[1]) && Guid.TryParse(parts[2], out var id)
            ? new StreamPosition(parts[1], id)
            : throw Cursor.Invalid();
    }
}
