using StreamService.Progress;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>Pages of streams, the newest first.</summary>
internal static class StreamPages
{
    public static Task<Page<StreamStatusView>> ReadAsync(StreamManager manager, Caller caller, StreamFilter filter, int limit, string? cursor, CancellationToken cancellationToken) =>
        NewestFirst.ReadAsync(
            cursor,
            limit,
            caller.Sees,
            (after, count) => manager.ListAsync(filter, after, count, cancellationToken),
            status => new PagePosition(status.CreatedAt, status.StreamId),
            StreamStatusView.From);
}
