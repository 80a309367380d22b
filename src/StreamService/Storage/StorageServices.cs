using Microsoft.EntityFrameworkCore;
using Npgsql;
using StreamService.Configuration;
using StreamService.Storage.PostgreSql;
using StreamService.Storage.Sqlite;

namespace StreamService.Storage;

/// <summary>Puts together what keeps the records, on the database that is configured.</summary>
internal static class StorageServices
{
    /// <summary>Contexts, the database itself and its signals.</summary>
    public static void AddDatabase(this IServiceCollection services, StorageOptions options)
    {
        if (options.IsPostgreSql)
            services.AddPostgreSql(options.PostgreSqlConnectionString);
        else
            services.AddSqlite(options.SqliteConnectionString);
        // Whoever wants a context of a request's own: the keys that sessions are sealed with.
        services.AddScoped(provider => provider.GetRequiredService<IDbContextFactory<StreamDbContext>>().CreateDbContext());
        services.AddHostedService<DatabaseKeeper>();
    }

    private static void AddSqlite(this IServiceCollection services, string connectionString)
    {
        services.AddPooledDbContextFactory<SqliteStreamDbContext>(options => options.UseSqlite(connectionString).AddInterceptors(new FreshConnections()));
        services.AddSingleton<IDbContextFactory<StreamDbContext>, Contexts<SqliteStreamDbContext>>();
        services.AddSingleton<StreamDatabase, SqliteDatabase>();
        services.AddSingleton<DatabaseSignals>();
    }

    private static void AddPostgreSql(this IServiceCollection services, string connectionString)
    {
        // Nothing is set in a session, or locked by it, that a reset before its next use would have to undo: it would be every other statement.
        services.AddSingleton(_ => NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connectionString) { NoResetOnClose = true }));
        services.AddPooledDbContextFactory<PostgreSqlStreamDbContext>((provider, options) =>
            options.UseNpgsql(provider.GetRequiredService<NpgsqlDataSource>(), server => server.ExecutionStrategy(dependencies => new BriefRetries(dependencies))));
        services.AddSingleton<IDbContextFactory<StreamDbContext>, Contexts<PostgreSqlStreamDbContext>>();
        services.AddSingleton<StreamDatabase>(provider => ActivatorUtilities.CreateInstance<PostgreSqlDatabase>(provider, connectionString));
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<PostgreSqlSignals>(provider, connectionString));
        services.AddSingleton<DatabaseSignals>(provider => provider.GetRequiredService<PostgreSqlSignals>());
        services.AddHostedService(provider => provider.GetRequiredService<PostgreSqlSignals>());
    }

    /// <summary>Contexts of one database, to whoever does not care which.</summary>
    private sealed class Contexts<T>(IDbContextFactory<T> contexts) : IDbContextFactory<StreamDbContext> where T : StreamDbContext
    {
        public StreamDbContext CreateDbContext() => contexts.CreateDbContext();

        public async Task<StreamDbContext> CreateDbContextAsync(CancellationToken cancellationToken) => await contexts.CreateDbContextAsync(cancellationToken);
    }
}
