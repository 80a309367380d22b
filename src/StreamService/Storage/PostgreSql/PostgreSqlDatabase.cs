using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;

namespace StreamService.Storage.PostgreSql;

/// <summary>A server, which replicas of perhaps two versions share, and which may be away for a while.</summary>
/// <param name="connectionString">Of the database; it is written nowhere.</param>
public sealed class PostgreSqlDatabase(string connectionString, IDbContextFactory<StreamDbContext> contexts, PostgreSqlSignals signals, TimeProvider time, ILogger<StreamDatabase> logger)
    : StreamDatabase(contexts)
{
    /// <summary>Whoever migrates has it: "streamsv", as a number.</summary>
    private const long MigrationLock = 0x73747265616d7376;

    /// <summary>How long a service that starts waits for a server that starts too.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1), Pause = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan MigrationTime = TimeSpan.FromMinutes(10), AnswerTime = TimeSpan.FromSeconds(3);

    private readonly IDbContextFactory<StreamDbContext> _contexts = contexts;
    private int _connections;

    public override string Loss => "The connection to the database was lost and is there again";

    public override string Advice => "Its address, user and rights are those of StreamService:Storage:ConnectionString.";

    public override async Task PrepareAsync(CancellationToken cancellationToken)
    {
        var begun = time.GetTimestamp();
        while (true)
        {
            try
            {
                await MigrateAloneAsync(cancellationToken);
                return;
            }
            catch (DbException exception) when (exception.IsTransient && time.GetElapsedTime(begun) is var waited && waited < Patience)
            {
                StorageLog.WaitingForDatabase(logger, Math.Round((Patience - waited).TotalSeconds), exception.GetBaseException().Message);
                await Task.Delay(Pause, time, cancellationToken);
            }
        }
    }

    /// <summary>
    /// Whether the connection for signals was lost and is there again: the server that answers now may be a standby that had not
    /// got the last records, or have come from a backup.
    /// </summary>
    public override bool IsLost() => signals.Connections > Math.Max(1, Volatile.Read(ref _connections));

    public override async Task ReopenAsync(CancellationToken cancellationToken)
    {
        var connections = signals.Connections;
        await MigrateAloneAsync(cancellationToken);
        Volatile.Write(ref _connections, connections);
    }

    public override async Task<bool> AnswersAsync(CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(AnswerTime);
        try
        {
            await using var context = await _contexts.CreateDbContextAsync(deadline.Token);
            await context.Database.ExecuteSqlAsync($"SELECT 1", deadline.Token);
            return true;
        }
        catch (Exception exception) when (exception is DbException || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return false;
        }
    }

    /// <summary>One replica of those that start at once migrates; the others wait, and find nothing left to do.</summary>
    private async Task MigrateAloneAsync(CancellationToken cancellationToken)
    {
        await using var context = await _contexts.CreateDbContextAsync(cancellationToken);
        await MakeDatabaseAsync(context, cancellationToken);
        if (!(await context.Database.GetPendingMigrationsAsync(cancellationToken)).Any())
            return;
        // In a session of its own, which ends with it: those of the pool are handed on as they are.
        await using var session = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false, CommandTimeout = (int)MigrationTime.TotalSeconds }.ToString());
        await session.OpenAsync(cancellationToken);
        await using var wait = new NpgsqlCommand("SELECT pg_advisory_lock($1)", session) { Parameters = { new() { Value = MigrationLock } } };
        await wait.ExecuteNonQueryAsync(cancellationToken);
        context.Database.SetCommandTimeout(MigrationTime);
        try
        {
            await MigrateAsync(context, cancellationToken);
        }
        finally
        {
            context.Database.SetCommandTimeout(null as int?);
        }
    }

    /// <summary>The database itself, where the user may make one.</summary>
    private static async Task MakeDatabaseAsync(StreamDbContext context, CancellationToken cancellationToken)
    {
        var creator = context.GetService<IRelationalDatabaseCreator>();
        if (await creator.ExistsAsync(cancellationToken))
            return;
        try
        {
            await creator.CreateAsync(cancellationToken);
        }
        catch (PostgresException exception) when (exception.SqlState is PostgresErrorCodes.DuplicateDatabase or PostgresErrorCodes.UniqueViolation)
        {
            // Another replica was first.
        }
    }
}
