using StreamService.Progress;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>Pages of streams, the newest first.</summary>
internal static class StreamPages
{
    public static Task<Page<StreamStatusView>> ReadAsync(StreamManager manager, StreamFilter filter, int limit, string? cursor, CancellationToken cancellationToken) =>
        NewestFirst.ReadAsync(
            cursor,
            limit,
            (after, count) => manager.ListAsync(filter, after, count, cancellationToken),
            status => new PagePosition(status.CreatedAt, status.StreamId),
            StreamStatusView.From);
}
