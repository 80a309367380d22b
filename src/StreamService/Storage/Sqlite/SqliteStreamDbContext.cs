using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace StreamService.Storage.Sqlite;

/// <summary>The records in a file, for one service.</summary>
public sealed class SqliteStreamDbContext(DbContextOptions<SqliteStreamDbContext> options) : StreamDbContext(options)
{
    /// <summary>For <c>dotnet ef</c>, which needs the model and no database.</summary>
    internal sealed class Design : IDesignTimeDbContextFactory<SqliteStreamDbContext>
    {
        public SqliteStreamDbContext CreateDbContext(string[] args) => new(new DbContextOptionsBuilder<SqliteStreamDbContext>().UseSqlite().Options);
    }
}
