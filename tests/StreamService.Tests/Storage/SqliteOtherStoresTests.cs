using Microsoft.EntityFrameworkCore;
using StreamService.Storage;

namespace StreamService.Tests.Storage;

/// <inheritdoc cref="OtherStoresContract"/>
public sealed class SqliteOtherStoresTests : OtherStoresContract, IAsyncLifetime
{
    private readonly SqliteContexts _contexts = new();

    protected override IDbContextFactory<StreamDbContext> Contexts => _contexts;

    public async ValueTask InitializeAsync() => await _contexts.MigrateAsync(Token);

    public ValueTask DisposeAsync() => _contexts.DisposeAsync();
}
