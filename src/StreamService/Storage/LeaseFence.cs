using Microsoft.EntityFrameworkCore;

namespace StreamService.Storage;

/// <summary>Keeps a replica that lost a host from adding records that its successor would not find.</summary>
internal static class LeaseFence
{
    /// <summary>Saves what was added to the context, if the host's lease is still of that epoch.</summary>
    /// <param name="epoch">0 where there are no leases.</param>
    /// <exception cref="LeaseLostException">It is not.</exception>
    public static async Task AddAsync(StreamDbContext context, string host, long epoch, CancellationToken cancellationToken)
    {
        if (epoch == 0)
        {
            await context.SaveChangesAsync(cancellationToken);
            return;
        }
        await context.Database.CreateExecutionStrategy().ExecuteAsync(async token =>
        {
            await using var transaction = await context.Database.BeginTransactionAsync(token);
            // Whoever takes the host over waits at its row until this is on record.
            var held = await context.Database.SqlQuery<int>($"""SELECT 1 AS "Value" FROM "HostLeases" WHERE "Host" = {host} AND "Epoch" = {epoch} FOR SHARE""").ToListAsync(token);
            if (held.Count == 0)
                throw new LeaseLostException(host);
            await context.SaveChangesAsync(acceptAllChangesOnSuccess: false, token);
            await transaction.CommitAsync(token);
        }, cancellationToken);
        context.ChangeTracker.AcceptAllChanges();
    }
}
