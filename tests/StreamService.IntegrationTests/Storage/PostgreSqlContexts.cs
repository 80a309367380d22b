using Microsoft.EntityFrameworkCore;
using Npgsql;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;

namespace StreamService.IntegrationTests.Storage;

/// <summary>Contexts of a database on PostgreSQL, as the service has them.</summary>
internal sealed class PostgreSqlContexts : IDbContextFactory<StreamDbContext>, IAsyncDisposable
{
    private readonly NpgsqlDataSource _source;
    private readonly DbContextOptions<PostgreSqlStreamDbContext> _options;

    public PostgreSqlContexts(string connectionString)
    {
        _source = NpgsqlDataSource.Create(connectionString);
        _options = new DbContextOptionsBuilder<PostgreSqlStreamDbContext>()
            .UseNpgsql(_source, server => server.ExecutionStrategy(dependencies => new BriefRetries(dependencies))).Options;
    }

    public StreamDbContext CreateDbContext() => new PostgreSqlStreamDbContext(_options);

    public ValueTask DisposeAsync() => _source.DisposeAsync();
}
