using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace StreamService.Storage.PostgreSql;

/// <summary>The records on a server, for one or more replicas.</summary>
public sealed class PostgreSqlStreamDbContext(DbContextOptions<PostgreSqlStreamDbContext> options) : StreamDbContext(options)
{
    /// <summary>For <c>dotnet ef</c>, which needs the model and no database.</summary>
    internal sealed class Design : IDesignTimeDbContextFactory<PostgreSqlStreamDbContext>
    {
        public PostgreSqlStreamDbContext CreateDbContext(string[] args) => new(new DbContextOptionsBuilder<PostgreSqlStreamDbContext>().UseNpgsql().Options);
    }
}
