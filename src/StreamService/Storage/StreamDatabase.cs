using System.Data.Common;
using Microsoft.EntityFrameworkCore;

namespace StreamService.Storage;

/// <summary>The database itself: its tables, and whether it is still the one that was opened.</summary>
public abstract class StreamDatabase(IDbContextFactory<StreamDbContext> contexts)
{
    /// <summary>What <see cref="IsLost"/> found, as a sentence without its full stop.</summary>
    public abstract string Loss { get; }

    /// <summary>What an operator does about a database that cannot be used at the start.</summary>
    public abstract string Advice { get; }

    /// <summary>Makes what is missing, and sees to what cannot be read.</summary>
    /// <exception cref="DbException">The database cannot be used.</exception>
    public abstract Task PrepareAsync(CancellationToken cancellationToken);

    /// <summary>Whether what was written may be gone: what is at work belongs on record again.</summary>
    public abstract bool IsLost();

    /// <summary>Goes over to the database that is there now.</summary>
    /// <inheritdoc cref="PrepareAsync" path="/exception"/>
    public abstract Task ReopenAsync(CancellationToken cancellationToken);

    /// <summary>Whether the database answers.</summary>
    public virtual async Task<bool> AnswersAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Database.CanConnectAsync(cancellationToken);
    }

    /// <summary>Brings the tables up to the model.</summary>
    protected static async Task MigrateAsync(StreamDbContext context, CancellationToken cancellationToken)
    {
        // Asked first: a migration takes a lock, which a database that cannot be written has none of.
        if ((await context.Database.GetPendingMigrationsAsync(cancellationToken)).Any())
            await context.Database.MigrateAsync(cancellationToken);
    }
}
