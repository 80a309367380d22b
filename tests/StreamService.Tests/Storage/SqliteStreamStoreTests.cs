using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Testing;
using StreamService.Storage;
using StreamService.Storage.Sqlite;

namespace StreamService.Tests.Storage;

/// <summary>On a real SQLite database, made by the migrations.</summary>
public sealed class SqliteStreamStoreTests : StreamStoreContract, IAsyncLifetime
{
    private readonly SqliteContexts _contexts = new();

    protected override IDbContextFactory<StreamDbContext> Contexts => _contexts;

    public async ValueTask InitializeAsync() => await _contexts.MigrateAsync(Token);

    public ValueTask DisposeAsync() => _contexts.DisposeAsync();

    [Fact]
    public async Task Rows_that_cannot_be_read_are_set_aside_and_keep_no_other_from_being_read()
    {
        var good = New();
        var bad = New();
        await Store.AddAsync(good, null, epoch: 0, Token);
        await Store.AddAsync(bad, null, epoch: 0, Token);
        var worse = New();
        await Store.AddAsync(worse, null, epoch: 0, Token);
        await using (var context = await Contexts.CreateDbContextAsync(Token))
        {
            Assert.Equal(1, await context.Database.ExecuteSqlAsync($"UPDATE Streams SET State = 'Rnning' WHERE StreamId = {bad.StreamId}", Token));
            Assert.Equal(1, await context.Database.ExecuteSqlAsync($"UPDATE Streams SET StreamId = 'no uuid' WHERE StreamId = {worse.StreamId}", Token));
        }
        var log = new FakeLogger<StreamDatabase>();

        await new SqliteDatabase(Contexts, log).PrepareAsync(Token);

        Assert.Equal(good.StreamId, Assert.Single(await ListAsync(new())).StreamId);
        Assert.Equal(2, log.Collector.GetSnapshot().Count(line => line.Id.Id == 502));
        Assert.Contains(log.Collector.GetSnapshot(), line => line.Message.Contains(bad.StreamId.ToString(), StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task Database_that_was_deleted_is_noticed_and_made_anew()
    {
        var database = new SqliteDatabase(Contexts, NullLogger<StreamDatabase>.Instance);
        await database.PrepareAsync(Token);
        Assert.False(database.IsLost());
        File.Delete(_contexts.File);
        Assert.True(database.IsLost());

        await database.ReopenAsync(Token);

        Assert.False(database.IsLost());
        Assert.Empty(await ListAsync(new()));
    }

    [Fact]
    public async Task Lists_enter_an_index_where_a_page_begins()
    {
        await using var context = await Contexts.CreateDbContextAsync(Token);
        foreach (var (sort, index) in new[] { (StreamSort.Created, "CreatedAt"), (StreamSort.Updated, "UpdatedAt"), (StreamSort.Name, "DomainName"), (StreamSort.Host, "Host") })
        {
            var query = StreamOrdering.By(sort, null).Apply(context.Streams, new StreamPosition("5", Guid.NewGuid())).Take(10);
            await using var command = query.CreateDbCommand();
            command.CommandText = "EXPLAIN QUERY PLAN " + command.CommandText;
            await context.Database.OpenConnectionAsync(Token);
            var plan = new List<string>();
            await using (var reader = await command.ExecuteReaderAsync(Token))
                while (await reader.ReadAsync(Token))
                    plan.Add(reader.GetString(3));
            Assert.Contains(plan, step => step.StartsWith("SEARCH", StringComparison.Ordinal) && step.Contains($"IX_Streams_{index}_StreamId", StringComparison.Ordinal));
            Assert.DoesNotContain(plan, step => step.Contains("TEMP B-TREE", StringComparison.Ordinal));
        }
    }
}
