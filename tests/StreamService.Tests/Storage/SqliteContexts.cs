using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using StreamService.Storage;
using StreamService.Storage.Sqlite;

namespace StreamService.Tests.Storage;

/// <summary>Contexts of a SQLite file of their own.</summary>
internal sealed class SqliteContexts : IDbContextFactory<StreamDbContext>, IAsyncDisposable
{
    public string File { get; } = Path.GetTempFileName();

    public StreamDbContext CreateDbContext() => new SqliteStreamDbContext(
        new DbContextOptionsBuilder<SqliteStreamDbContext>().UseSqlite($"Data Source={File};Pooling=False;Default Timeout=5").Options);

    public async Task MigrateAsync(CancellationToken cancellationToken)
    {
        await using var context = CreateDbContext();
        await context.Database.MigrateAsync(cancellationToken);
    }

    public ValueTask DisposeAsync()
    {
        SqliteConnection.ClearAllPools();
        System.IO.File.Delete(File);
        return ValueTask.CompletedTask;
    }
}
