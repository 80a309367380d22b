using System.Threading.Channels;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using StreamService.IntegrationTests.Harness;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;
using StreamService.Streaming.Budgets;

namespace StreamService.IntegrationTests.Storage;

/// <summary>What replicas tell each other, through a real PostgreSQL.</summary>
public sealed class PostgreSqlSignalsTests(SharedPostgres postgres)
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_replica_hears_the_topics_it_subscribed_to_in_order_after_a_look_for_itself()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var contexts = new PostgreSqlContexts(database);
        await using var one = Signals(database, contexts);
        await using var other = Signals(database, contexts);
        var heard = new[] { one, other }.Select(signals => Hear(signals, "hosts")).ToList();
        await one.StartAsync(Token);
        await other.StartAsync(Token);
        foreach (var reader in heard)
            Assert.Null(await NextAsync(reader));

        await one.NotifyAsync("budgets", "for nobody", Token);
        await one.NotifyAsync("hosts", "h1 taken", Token);
        await other.NotifyAsync("hosts", "", Token);
        await other.NotifyAsync("hosts", "größe", Token);

        foreach (var reader in heard)
            Assert.Equal(["h1 taken", "", "größe"], [await NextAsync(reader), await NextAsync(reader), await NextAsync(reader)]);
    }

    [Fact]
    public async Task Signal_of_a_transaction_comes_with_what_it_wrote_or_not_at_all()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var contexts = new PostgreSqlContexts(database);
        await using (var context = contexts.CreateDbContext())
            await context.Database.MigrateAsync(Token);
        await using var signals = Signals(database, contexts);
        var heard = Hear(signals, "budgets");
        await signals.StartAsync(Token);
        Assert.Null(await NextAsync(heard));

        foreach (var (name, commit) in new[] { ("undone", false), ("kept", true) })
        {
            await using var context = contexts.CreateDbContext();
            await context.Database.CreateExecutionStrategy().ExecuteAsync(async () =>
            {
                await using var transaction = await context.Database.BeginTransactionAsync(Token);
                context.Budgets.Add(new BudgetRecord { Name = name, Scope = BudgetScope.Service, Match = null, BytesPerSecond = 1, Windows = "[]" });
                await context.SaveChangesAsync(Token);
                await signals.NotifyAsync(context, "budgets", name, Token);
                // Heard before the end it would be heard first.
                await signals.NotifyAsync("budgets", $"after {name}", Token);
                if (commit)
                    await transaction.CommitAsync(Token);
                else
                    await transaction.RollbackAsync(Token);
            });
        }

        Assert.Equal(["after undone", "after kept", "kept"], [await NextAsync(heard), await NextAsync(heard), await NextAsync(heard)]);
    }

    [Fact]
    public async Task Lost_connection_is_established_again_and_subscribers_look_for_themselves()
    {
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync();
        await using var contexts = new PostgreSqlContexts(database);
        await using var signals = Signals(database, contexts);
        var heard = Hear(signals, "hosts");
        await signals.StartAsync(Token);
        Assert.Null(await NextAsync(heard));

        await server.KillAsync();
        await server.StartAgainAsync();

        Assert.Null(await NextAsync(heard));
        await signals.NotifyAsync("hosts", "h1", Token);
        Assert.Equal("h1", await NextAsync(heard));
        // Only the connection of the signals is cut.
        await PostgresServer.ExecuteAsync(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'");
        Assert.Null(await NextAsync(heard));
        Assert.Equal(3, signals.Connections);
    }

    [Fact]
    public async Task Subscriber_that_fails_or_left_keeps_no_other_from_hearing()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var contexts = new PostgreSqlContexts(database);
        await using var signals = Signals(database, contexts);
        signals.Subscribe("hosts", _ => throw new InvalidOperationException("fails"));
        var left = 0;
        var subscription = signals.Subscribe("hosts", _ => left++);
        var heard = Hear(signals, "hosts");
        await signals.StartAsync(Token);
        Assert.Null(await NextAsync(heard));
        subscription.Dispose();

        await signals.NotifyAsync("hosts", "h1", Token);

        Assert.Equal("h1", await NextAsync(heard));
        Assert.Equal(1, left);
    }

    [Fact]
    public async Task Signal_that_is_too_large_and_topic_that_is_no_word_are_refused()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var contexts = new PostgreSqlContexts(database);
        await using var signals = Signals(database, contexts);
        await signals.NotifyAsync("hosts", new string('x', DatabaseSignals.LargestSignal - 6), Token);
        await Assert.ThrowsAsync<ArgumentException>(() => signals.NotifyAsync("hosts", new string('ö', DatabaseSignals.LargestSignal / 2), Token));
        Assert.Throws<ArgumentException>(() => signals.Subscribe("two words", _ => { }));
    }

    private static PostgreSqlSignals Signals(string database, PostgreSqlContexts contexts) =>
        new(database, contexts, TimeProvider.System, NullLogger<PostgreSqlSignals>.Instance);

    private static ChannelReader<string?> Hear(DatabaseSignals signals, string topic)
    {
        var heard = Channel.CreateUnbounded<string?>();
        signals.Subscribe(topic, payload => heard.Writer.TryWrite(payload));
        return heard.Reader;
    }

    private static async Task<string?> NextAsync(ChannelReader<string?> heard)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(TimeSpan.FromSeconds(20));
        return await heard.ReadAsync(deadline.Token);
    }
}
