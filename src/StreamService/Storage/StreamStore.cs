using System.Collections.Concurrent;
using System.Data.Common;
using System.Linq.Expressions;
using Microsoft.EntityFrameworkCore;
using StreamService.Streaming;

namespace StreamService.Storage;

/// <summary>What the streams in one state on one host add up to.</summary>
/// <param name="BytesRemaining">Of those that are not over.</param>
public sealed record StreamSum(string Host, StreamState State, int Streams, long BytesRemaining, long BytesPerSecond);

/// <summary>Keeps the records of streams.</summary>
public sealed class StreamStore(IDbContextFactory<StreamDbContext> contexts, ILogger<StreamStore> logger)
{
    private readonly ConcurrentDictionary<Guid, bool> _leftOut = [];

    private static readonly StreamState[] FinalStates = [StreamState.Completed, StreamState.Failed, StreamState.Cancelled];

    /// <summary>Whether a stream is not over.</summary>
    internal static readonly Expression<Func<StreamRecord, bool>> IsActive = record => !FinalStates.Contains(record.State);

    /// <param name="epoch">Of the host's term.</param>
    /// <exception cref="LeaseLostException">A later one has begun.</exception>
    public async Task AddAsync(StreamStatus status, string? idempotencyKey, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        context.Streams.Add(StreamRecord.From(status, idempotencyKey, epoch));
        context.Events.Add(EventRecord.From(status));
        try
        {
            await LeaseFence.AddAsync(context, status.Disk.Host, epoch, cancellationToken);
        }
        catch (DbUpdateException)
        {
            // The answer may have been lost with the connection, and a second attempt have found what the first had done.
            if (!await IsOnRecordAsync(status.StreamId))
                throw;
        }
    }

    /// <summary>Takes over a new picture of a stream, with an event where its state is another than the one on record.</summary>
    /// <inheritdoc cref="AddAsync"/>
    public Task UpdateAsync(StreamStatus status, long epoch, CancellationToken cancellationToken) => UpdateAsync([status], status, epoch, cancellationToken);

    /// <summary>Takes over a new picture of a stream, and with it the states that the stream has entered since it was last on record: each is an event.</summary>
    /// <param name="entered">The oldest first; none where it only got on.</param>
    /// <inheritdoc cref="AddAsync"/>
    public async Task UpdateAsync(IReadOnlyList<StreamStatus> entered, StreamStatus status, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        if (entered.Count > 0)
            AddEvents(context, await context.Streams.AsNoTracking().SingleOrDefaultAsync(record => record.StreamId == status.StreamId, cancellationToken), entered, epoch);
        // Written without a look: the record's epoch is part of the condition.
        var record = context.Update(StreamRecord.From(status, idempotencyKey: null, epoch));
        record.Property(written => written.IdempotencyKey).IsModified = false;
        record.Property(written => written.Epoch).IsModified = false;
        try
        {
            await context.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateConcurrencyException)
        {
            if (await IsOnRecordAsync(status.StreamId))
                throw new LeaseLostException(status.Disk.Host);
            // Lost with its database.
            await AddAsync(status, idempotencyKey: null, epoch, cancellationToken);
        }
    }

    private static void AddEvents(StreamDbContext context, StreamRecord? before, IReadOnlyList<StreamStatus> entered, long epoch)
    {
        foreach (var status in entered)
        {
            if (EventRecord.IsNews(before, status))
                context.Events.Add(EventRecord.From(status));
            before = StreamRecord.From(status, idempotencyKey: null, epoch);
        }
    }

    public async Task<StreamStatus?> FindAsync(Guid streamId, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return (await ReadAsync(context, context.Streams.AsNoTracking().Where(record => record.StreamId == streamId), cancellationToken)).SingleOrDefault();
    }

    /// <summary>Those of the streams that are on record.</summary>
    public async Task<IReadOnlyList<StreamStatus>> FindAllAsync(IReadOnlyCollection<Guid> streams, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await ReadAsync(context, context.Streams.AsNoTracking().Where(record => streams.Contains(record.StreamId)), cancellationToken);
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

    /// <summary>All of a host that are not over, oldest first, to be gone on with; closed to earlier epochs from here on.</summary>
    public async Task<IReadOnlyList<StreamStatus>> TakeUpAsync(string host, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var active = context.Streams.Where(record => record.Host == host && !FinalStates.Contains(record.State));
        if (epoch > 0)
            await active.Where(record => record.Epoch < epoch).ExecuteUpdateAsync(update => update.SetProperty(record => record.Epoch, epoch), cancellationToken);
        return await ReadAsync(context, active.AsNoTracking().OrderBy(record => record.CreatedAt), record => record.ToGoOn(), cancellationToken);
    }

    /// <summary>All that are not over, of all hosts but those.</summary>
    public async Task<IReadOnlyList<StreamStatus>> ListActiveElsewhereAsync(IReadOnlyCollection<string> hosts, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await ReadAsync(context, context.Streams.AsNoTracking().Where(record => !FinalStates.Contains(record.State) && !hosts.Contains(record.Host)), record => record.ToGoOn(), cancellationToken);
    }

    /// <summary>Those that are not over, or have not been since a moment by their drivers' clocks, on one host or on all.</summary>
    public async Task<IReadOnlyList<StreamStatus>> ListSinceAsync(string? host, DateTimeOffset since, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await ReadAsync(context, context.Streams.AsNoTracking()
            .Where(record => (!FinalStates.Contains(record.State) || record.FinishedAt >= since) && (host == null || record.Host == host))
            .OrderBy(record => record.CreatedAt), cancellationToken);
    }

    /// <summary>A page of streams: at most so many after a position.</summary>
    public async Task<IReadOnlyList<StreamListing>> ListAsync(StreamFilter filter, StreamOrdering ordering, StreamPosition? after, int limit, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await ReadAsync(
            context,
            ordering.Apply(filter.Apply(context.Streams.AsNoTracking()), after),
            record => new StreamListing(record.ToStatus(), ordering.PositionOf(record)),
            cancellationToken,
            limit);
    }

    /// <summary>What the streams of each host add up to, by state.</summary>
    public async Task<IReadOnlyList<StreamSum>> SumAsync(StreamFilter filter, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var streams = filter.Apply(context.Streams.AsNoTracking());
        // The many that are over are only counted, which an index alone can do.
        var counts = await streams.GroupBy(record => new { record.Host, record.State })
            .Select(group => new { group.Key, Count = group.Count() })
            .ToListAsync(cancellationToken);
        var sums = await streams.Where(record => !FinalStates.Contains(record.State))
            .GroupBy(record => new { record.Host, record.State })
            .Select(group => new { group.Key, Remaining = group.Sum(record => record.BytesRemaining ?? 0), Rate = group.Sum(record => record.BytesPerSecond) })
            .ToDictionaryAsync(group => (group.Key.Host, group.Key.State), cancellationToken);
        return
        [
            .. counts.Select(group => sums.GetValueOrDefault((group.Key.Host, group.Key.State)) is { } sum
                ? new StreamSum(group.Key.Host, group.Key.State, group.Count, sum.Remaining, sum.Rate)
                : new StreamSum(group.Key.Host, group.Key.State, group.Count, 0, 0)),
        ];
    }

    /// <summary>How many streams there are.</summary>
    public async Task<int> CountAsync(StreamFilter filter, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await filter.Apply(context.Streams.AsNoTracking()).CountAsync(cancellationToken);
    }

    /// <summary>
    /// A row that cannot be read, a newer replica's perhaps, keeps no other from being read. It is left out, and stays where it is.
    /// </summary>
    /// <param name="limit">At most so many that can be read; where fewer come, there are no more.</param>
    private async Task<IReadOnlyList<T>> ReadAsync<T>(
        StreamDbContext context, IQueryable<StreamRecord> query, Func<StreamRecord, T> convert, CancellationToken cancellationToken, int limit = int.MaxValue)
    {
        try
        {
            return [.. (await FirstOf(query).ToListAsync(cancellationToken)).Select(convert)];
        }
        catch (Exception exception) when (exception is not (OperationCanceledException or DbException))
        {
        }
        var readable = new List<T>();
        var seen = 0;
        List<Guid> ids;
        do
        {
            ids = await FirstOf(query.Skip(seen)).Select(record => record.StreamId).ToListAsync(cancellationToken);
            seen += ids.Count;
            for (var at = 0; at < ids.Count && readable.Count < limit; at++)
                await ReadOneAsync(ids[at]);
        }
        while (readable.Count < limit && ids.Count == limit);
        return readable;

        IQueryable<StreamRecord> FirstOf(IQueryable<StreamRecord> records) => limit < int.MaxValue ? records.Take(limit) : records;

        async Task ReadOneAsync(Guid streamId)
        {
            try
            {
                readable.Add(convert(await context.Streams.AsNoTracking().SingleAsync(record => record.StreamId == streamId, cancellationToken)));
            }
            catch (Exception exception) when (exception is not (OperationCanceledException or DbException))
            {
                // Told once, however often it is in the way.
                if (_leftOut.TryAdd(streamId, true))
                    StorageLog.LeftOut(logger, exception, streamId);
            }
        }
    }

    private Task<IReadOnlyList<StreamStatus>> ReadAsync(StreamDbContext context, IQueryable<StreamRecord> query, CancellationToken cancellationToken) =>
        ReadAsync(context, query, record => record.ToStatus(), cancellationToken);

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
