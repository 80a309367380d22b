using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using StreamService.IntegrationTests.Harness;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;

namespace StreamService.IntegrationTests.Storage;

/// <summary>How replicas that start at once get their tables.</summary>
public sealed class PostgreSqlDatabaseTests
{
    [Fact]
    public async Task Replicas_that_start_at_once_make_the_database_and_its_tables_once()
    {
        await using var server = await PostgresServer.StartAsync();
        // Each time it is another of them that comes first.
        for (var round = 0; round < 3; round++)
        {
            var connection = server.ConnectionString($"made_by_the_first_{round}");
            var replicas = Enumerable.Range(0, 6).Select(_ => new PostgreSqlContexts(connection)).ToList();
            try
            {
                await Task.WhenAll(replicas.Select(contexts => Task.Run(() => Database(connection, contexts).PrepareAsync(TestContext.Current.CancellationToken))));
                Assert.All(await Task.WhenAll(replicas.Select(contexts => Database(connection, contexts).AnswersAsync(TestContext.Current.CancellationToken))), Assert.True);
                await using var context = replicas[0].CreateDbContext();
                Assert.Equal((long)context.Database.GetMigrations().Count(),
                    await PostgresServer.QueryAsync(connection, "SELECT count(*) FROM \"__EFMigrationsHistory\""));
            }
            finally
            {
                foreach (var contexts in replicas)
                    await contexts.DisposeAsync();
            }
        }
    }

    private static PostgreSqlDatabase Database(string connection, PostgreSqlContexts contexts) => new(
        connection, contexts, new PostgreSqlSignals(connection, contexts, TimeProvider.System, NullLogger<PostgreSqlSignals>.Instance), TimeProvider.System, NullLogger<StreamDatabase>.Instance);
}
