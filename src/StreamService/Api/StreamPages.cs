using System.Globalization;
using StreamService.Progress;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>Pages of streams, the newest first.</summary>
internal static class StreamPages
{
    public static async Task<Page<StreamStatusView>> ReadAsync(StreamManager manager, StreamFilter filter, int limit, string? cursor, CancellationToken cancellationToken)
    {
        var streams = await manager.ListAsync(filter, Position(cursor), limit + 1, cancellationToken);
        var last = streams.Count > limit ? streams[limit - 1] : null;
        return new Page<StreamStatusView>(
            [.. streams.Take(limit).Select(StreamStatusView.From)],
            last is null ? null : Cursor.Write(last.CreatedAt.UtcTicks.ToString(CultureInfo.InvariantCulture), last.StreamId.ToString()));
    }

    private static StreamPosition? Position(string? cursor)
    {
        if (Cursor.Read(cursor, parts: 2) is not { } parts)
            return null;
        return long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var ticks)
            && ticks <= DateTimeOffset.MaxValue.UtcTicks && Guid.TryParse(parts[1], out var streamId)
            ? new StreamPosition(new DateTimeOffset(ticks, TimeSpan.Zero), streamId)
            : throw Cursor.Invalid();
    }
}
