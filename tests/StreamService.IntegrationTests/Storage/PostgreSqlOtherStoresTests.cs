using Microsoft.EntityFrameworkCore;
using StreamService.IntegrationTests.Harness;
using StreamService.Storage;
using StreamService.Tests.Storage;

namespace StreamService.IntegrationTests.Storage;

/// <inheritdoc cref="OtherStoresContract"/>
public sealed class PostgreSqlOtherStoresTests(SharedPostgres postgres) : OtherStoresContract, IAsyncLifetime
{
    private PostgreSqlContexts? _contexts;

    protected override IDbContextFactory<StreamDbContext> Contexts => _contexts!;

    public async ValueTask InitializeAsync()
    {
        _contexts = new PostgreSqlContexts(await postgres.CreateDatabaseAsync());
        await using var context = _contexts.CreateDbContext();
        await context.Database.MigrateAsync(Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (_contexts is not null)
            await _contexts.DisposeAsync();
    }
}
