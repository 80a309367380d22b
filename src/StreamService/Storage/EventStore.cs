using Microsoft.EntityFrameworkCore;

namespace StreamService.Storage;

/// <summary>Reads events, in the order in which they came, and forgets old ones. The stores of streams and migrations write them.</summary>
public sealed class EventStore(IDbContextFactory<StreamDbContext> contexts)
{
    /// <summary>A page of one stream's or migration's events, the oldest first.</summary>
    /// <param name="after">Those behind this sequence; 0 for all.</param>
    public async Task<IReadOnlyList<EventRecord>> ListAsync(Guid subject, long after, int limit, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Events.AsNoTracking().Where(record => record.Subject == subject && record.Sequence > after)
            .OrderBy(record => record.Sequence).Take(limit).ToListAsync(cancellationToken);
    }

    /// <summary>The next events of all, the oldest first.</summary>
    /// <param name="after">Those behind this sequence.</param>
    public async Task<IReadOnlyList<EventRecord>> ReadAsync(long after, int limit, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Events.AsNoTracking().Where(record => record.Sequence > after)
            .OrderBy(record => record.Sequence).Take(limit).ToListAsync(cancellationToken);
    }

    /// <summary>The sequence of the newest event; 0 where there is none.</summary>
    public async Task<long> FindLastAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Events.MaxAsync(record => (long?)record.Sequence, cancellationToken) ?? 0;
    }

    /// <summary>Forgets events that are older than a time, and the oldest where there are more than so many.</summary>
    /// <returns>How many were forgotten.</returns>
    public async Task<int> PruneAsync(DateTimeOffset before, long most, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var old = await context.Events.Where(record => record.Time < before).ExecuteDeleteAsync(cancellationToken);
        // Its sequence, rather than a number to subtract: sequences may have gaps.
        var firstKept = await context.Events.OrderByDescending(record => record.Sequence).Skip((int)Math.Min(most - 1, int.MaxValue))
            .Select(record => (long?)record.Sequence).FirstOrDefaultAsync(cancellationToken);
        return firstKept is null ? old : old + await context.Events.Where(record => record.Sequence < firstKept).ExecuteDeleteAsync(cancellationToken);
    }

    /// <summary>How far a webhook is; null where nothing is on record for it.</summary>
    public async Task<long?> FindCursorAsync(string webhook, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return (await context.WebhookCursors.AsNoTracking().SingleOrDefaultAsync(cursor => cursor.Webhook == webhook, cancellationToken))?.Sequence;
    }

    /// <summary>Puts a webhook on record that was not.</summary>
    public async Task AddCursorAsync(string webhook, long sequence, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        context.WebhookCursors.Add(new WebhookCursorRecord { Webhook = webhook, Sequence = sequence });
        await context.SaveChangesAsync(cancellationToken);
    }

    /// <summary>Puts on record how far a webhook is; false where the webhook is not on record, because its database is another one now.</summary>
    public async Task<bool> KeepCursorAsync(string webhook, long sequence, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.WebhookCursors.Where(cursor => cursor.Webhook == webhook)
            .ExecuteUpdateAsync(cursor => cursor.SetProperty(record => record.Sequence, sequence), cancellationToken) > 0;
    }
}
