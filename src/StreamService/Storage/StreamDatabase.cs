using System.Data;
using System.Data.Common;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using StreamService.Qemu.Disks;

namespace StreamService.Storage;

/// <summary>The database itself: its tables, and whether it is still the one that was opened.</summary>
public sealed class StreamDatabase(IDbContextFactory<StreamDbContext> contexts, ILogger<StreamDatabase> logger)
{
    private (string Path, ulong Inode)? _file;

    /// <summary>Makes what is missing, and sets aside what cannot be read.</summary>
    /// <exception cref="DbException">The database cannot be used.</exception>
    public async Task PrepareAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        // Asked first: a migration takes a lock, which a database that cannot be written has none of.
        if ((await context.Database.GetPendingMigrationsAsync(cancellationToken)).Any())
            await context.Database.MigrateAsync(cancellationToken);
        _file = context.Database.GetDbConnection() is SqliteConnection { DataSource: { Length: > 0 } path } && FileStatus.Find(path) is { } status ? (path, status.Inode) : null;
        await SetAsideUnreadableAsync(context, cancellationToken);
    }

    /// <summary>Whether the file was deleted or replaced since: what is written to the old one is lost with its last handle.</summary>
    public bool IsLost() => _file is { } file && FileStatus.Find(file.Path)?.Inode != file.Inode;

    /// <summary>Lets go of the old file and prepares the one that is there now.</summary>
    /// <inheritdoc cref="PrepareAsync" path="/exception"/>
    public async Task ReopenAsync(CancellationToken cancellationToken)
    {
        SqliteConnection.ClearAllPools();
        await PrepareAsync(cancellationToken);
    }

    /// <summary>
    /// One row that cannot be read would keep all streams from being taken up. It goes into the log, whole: a disk's progress is
    /// in its image, and a stream that is begun again goes on from there.
    /// </summary>
    private async Task SetAsideUnreadableAsync(StreamDbContext context, CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var record in context.Streams.AsNoTracking().AsAsyncEnumerable().WithCancellation(cancellationToken))
                record.ToStatus();
            return;
        }
        catch (Exception exception) when (exception is not (OperationCanceledException or DbException))
        {
            StorageLog.UnreadableFound(logger, exception);
        }
        foreach (var (key, content) in await ReadRawAsync(context.Database.GetDbConnection(), cancellationToken))
        {
            try
            {
                foreach (var record in await context.Streams.FromSql($"SELECT * FROM \"Streams\" WHERE CAST(\"StreamId\" AS TEXT) = {key}").AsNoTracking().ToListAsync(cancellationToken))
                    record.ToStatus();
            }
            catch (Exception exception) when (exception is not (OperationCanceledException or DbException))
            {
                StorageLog.SetAside(logger, exception, content);
                await context.Database.ExecuteSqlAsync($"DELETE FROM \"Streams\" WHERE CAST(\"StreamId\" AS TEXT) = {key}", cancellationToken);
            }
        }
    }

    /// <summary>Every stream's row as it is stored, by its key.</summary>
    private static async Task<IReadOnlyList<(string Key, string Content)>> ReadRawAsync(DbConnection connection, CancellationToken cancellationToken)
    {
        if (connection.State != ConnectionState.Open)
            await connection.OpenAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = "SELECT CAST(\"StreamId\" AS TEXT), * FROM \"Streams\"";
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var rows = new List<(string, string)>();
        while (await reader.ReadAsync(cancellationToken))
            rows.Add((reader.GetValue(0).ToString()!, JsonSerializer.Serialize(
                Enumerable.Range(1, reader.FieldCount - 1).ToDictionary(reader.GetName, column => reader.IsDBNull(column) ? null : reader.GetValue(column).ToString()))));
        return rows;
    }
}
