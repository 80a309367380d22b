using System.Data;
using System.Data.Common;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using StreamService.Qemu.Disks;

namespace StreamService.Storage.Sqlite;

/// <summary>A file, which one service has for itself, and which an operator may delete or damage.</summary>
public sealed class SqliteDatabase(IDbContextFactory<StreamDbContext> contexts, ILogger<StreamDatabase> logger) : StreamDatabase(contexts)
{
    private readonly IDbContextFactory<StreamDbContext> _contexts = contexts;
    private (string Path, ulong Inode)? _file;

    public override string Loss => "The database's file was deleted or replaced";

    public override string Advice => "Mend it, or move it away: no disk depends on it, and a new one is made.";

    public override async Task PrepareAsync(CancellationToken cancellationToken)
    {
        await using var context = await _contexts.CreateDbContextAsync(cancellationToken);
        await MigrateAsync(context, cancellationToken);
        _file = context.Database.GetDbConnection() is SqliteConnection { DataSource: { Length: > 0 } path } && FileStatus.Find(path) is { } status ? (path, status.Inode) : null;
        await SetAsideUnreadableAsync(context, cancellationToken);
    }

    /// <summary>Whether the file was deleted or replaced since: what is written to the old one is lost with its last handle.</summary>
    public override bool IsLost() => _file is { } file && FileStatus.Find(file.Path)?.Inode != file.Inode;

    /// <summary>Lets go of the old file and prepares the one that is there now.</summary>
    public override async Task ReopenAsync(CancellationToken cancellationToken)
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
