using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using StreamService.Streaming;

namespace StreamService.Storage;

/// <summary>Which streams are asked for; null members do not restrict.</summary>
public sealed record StreamFilter(IReadOnlyCollection<StreamState>? States = null, string? Host = null, Guid? Domain = null);

/// <summary>Keeps the records of streams.</summary>
public sealed class StreamStore(IDbContextFactory<StreamDbContext> contexts, ILogger<StreamStore> logger)
{
    private readonly ConcurrentDictionary<Guid, bool> _leftOut = [];

    private static readonly StreamState[] FinalStates = [StreamState.Completed, StreamState.Failed, StreamState.Cancelled];

    public async Task AddAsync(StreamStatus status, string? idempotencyKey, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        context.Streams.Add(StreamRecord.From(status, idempotencyKey));
        context.Events.Add(EventRecord.From(status));
        try
        {
            await context.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException)
        {
            // The answer may have been lost with the connection, and a second attempt have found what the first had done.
            if (!await IsOnRecordAsync(status.StreamId))
                throw;
        }
    }

    public Task UpdateAsync(StreamStatus status, CancellationToken cancellationToken) => UpdateAsync([status], cancellationToken);

    /// <summary>Takes over what happened to a stream since it was last on record, events and all.</summary>
    /// <param name="pictures">The oldest first; the last becomes the record.</param>
    public async Task UpdateAsync(IReadOnlyList<StreamStatus> pictures, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var record = await context.Streams.FindAsync([pictures[0].StreamId], cancellationToken);
        foreach (var status in pictures)
        {
            if (EventRecord.IsNews(record, status))
                context.Events.Add(EventRecord.From(status));
            // A record that was lost with its database is made again.
            if (record is null)
                context.Streams.Add(record = StreamRecord.From(status, idempotencyKey: null));
            else
                record.Take(status);
        }
        await context.SaveChangesAsync(cancellationToken);
    }

    public async Task<StreamStatus?> FindAsync(Guid streamId, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return (await ReadAsync(context, context.Streams.AsNoTracking().Where(record => record.StreamId == streamId), cancellationToken)).SingleOrDefault();
    }

    /// <summary>The newest stream of a disk; null where it was never streamed.</summary>
    public async Task<StreamStatus?> FindLatestAsync(DiskAddress disk, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return (await ReadAsync(context, context.Streams.AsNoTracking()
            .Where(record => record.Host == disk.Host && record.Domain == disk.Domain && record.Target == disk.Target)
            .OrderByDescending(record => record.CreatedAt).ThenByDescending(record => record.StreamId)
            .Take(1), cancellationToken)).SingleOrDefault();
    }

    /// <summary>The newest stream of that target for each domain with that UUID, or where none is given, that name.</summary>
    public async Task<IReadOnlyList<StreamStatus>> ListLatestAsync(Guid? domain, string name, string target, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var ofTarget = context.Streams.AsNoTracking().Where(record => record.Target == target);
        var records = await (domain is { } id ? ofTarget.Where(record => record.Domain == id) : ofTarget.Where(record => record.DomainName == name))
            .GroupBy(record => new { record.Host, record.Domain })
            .Select(disk => disk.OrderByDescending(record => record.CreatedAt).ThenByDescending(record => record.StreamId).First())
            .ToListAsync(cancellationToken);
        // A domain that migrated is one, wherever its disk was streamed.
        return [.. records.GroupBy(record => record.Domain).Select(hosts => hosts.MaxBy(record => record.CreatedAt)!.ToStatus())];
    }

    /// <summary>The stream that a request with this key began; null where there is none.</summary>
    public async Task<Guid?> FindByIdempotencyKeyAsync(string key, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Streams.AsNoTracking().Where(record => record.IdempotencyKey == key)
            .Select(record => (Guid?)record.StreamId).FirstOrDefaultAsync(cancellationToken);
    }

    /// <summary>All that are not over, oldest first.</summary>
    public async Task<IReadOnlyList<StreamStatus>> ListActiveAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await ReadAsync(context, context.Streams.AsNoTracking()
            .Where(record => !FinalStates.Contains(record.State))
            .OrderBy(record => record.CreatedAt), cancellationToken);
    }

    /// <summary>A page of streams, the newest first.</summary>
    public async Task<IReadOnlyList<StreamStatus>> ListAsync(StreamFilter filter, PagePosition? after, int limit, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var query = context.Streams.AsNoTracking();
        if (filter.States is { } states)
            query = query.Where(record => states.Contains(record.State));
        if (filter.Host is { } host)
            query = query.Where(record => record.Host == host);
        if (filter.Domain is { } domain)
            query = query.Where(record => record.Domain == domain);
        if (after is not null)
            query = query.Where(record => record.CreatedAt < after.CreatedAt
                || (record.CreatedAt == after.CreatedAt && record.StreamId.CompareTo(after.Id) < 0));
        return await ReadAsync(context, query
            .OrderByDescending(record => record.CreatedAt).ThenByDescending(record => record.StreamId)
            .Take(limit), cancellationToken);
    }

    /// <summary>
    /// A row that cannot be read, a newer replica's perhaps, keeps no other from being read. It is left out, and stays where it is.
    /// </summary>
    private async Task<IReadOnlyList<StreamStatus>> ReadAsync(StreamDbContext context, IQueryable<StreamRecord> query, CancellationToken cancellationToken)
    {
        try
        {
            return [.. (await query.ToListAsync(cancellationToken)).Select(record => record.ToStatus())];
        }
        catch (Exception exception) when (exception is not (OperationCanceledException or DbException))
        {
        }
        var readable = new List<StreamStatus>();
        foreach (var streamId in await query.Select(record => record.StreamId).ToListAsync(cancellationToken))
        {
            try
            {
                readable.Add((await context.Streams.AsNoTracking().SingleAsync(record => record.StreamId == streamId, cancellationToken)).ToStatus());
            }
            catch (Exception exception) when (exception is not (OperationCanceledException or DbException))
            {
                // Told once, however often it is in the way.
                if (_leftOut.TryAdd(streamId, true))
                    StorageLog.LeftOut(logger, exception, streamId);
            }
        }
        return readable;
    }

    private async Task<bool> IsOnRecordAsync(Guid streamId)
    {
        await using var context = await contexts.CreateDbContextAsync(CancellationToken.None);
        return await context.Streams.AnyAsync(record => record.StreamId == streamId);
    }

    public async Task<IdempotencyRecord?> FindAnswerAsync(string key, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.IdempotencyKeys.AsNoTracking().SingleOrDefaultAsync(record => record.Key == key, cancellationToken);
    }

    public async Task KeepAnswerAsync(IdempotencyRecord answer, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        context.IdempotencyKeys.Add(answer);
        await context.SaveChangesAsync(cancellationToken);
    }
}
