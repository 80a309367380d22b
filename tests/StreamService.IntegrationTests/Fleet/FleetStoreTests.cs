using Microsoft.EntityFrameworkCore;
using StreamService.Hypervisors;
using StreamService.IntegrationTests.Harness;
using StreamService.IntegrationTests.Storage;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;
using StreamService.Streaming;

namespace StreamService.IntegrationTests.Fleet;

/// <summary>Leases on a real database: one driver at a time, and nothing of an earlier one afterwards.</summary>
public sealed class FleetStoreTests(SharedPostgres postgres) : IAsyncLifetime
{
    private static readonly Uri Url = new("http://127.0.0.1:1");
    private static readonly Dictionary<string, bool> Hosts = new() { ["h"] = true };

    private readonly Guid _a = Guid.NewGuid(), _b = Guid.NewGuid();
    private PostgreSqlContexts? _contexts;
    private FleetStore? _store;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private FleetStore Store => _store!;

    public async ValueTask InitializeAsync()
    {
        _contexts = new PostgreSqlContexts(await postgres.CreateDatabaseAsync());
        await using var context = _contexts.CreateDbContext();
        await context.Database.MigrateAsync(Token);
        _store = new FleetStore(_contexts, new DatabaseSignals());
        Assert.True(await Store.JoinAsync("a", _a, Url, "1", Hosts, Token));
        Assert.True(await Store.JoinAsync("b", _b, Url, "1", Hosts, Token));
    }

    [Fact]
    public async Task Host_is_taken_by_one_and_by_another_only_once_the_first_gave_it_back_or_is_dead()
    {
        Assert.Equal(1, await Store.TakeAsync("h", "a", Token));
        Assert.Null(await Store.TakeAsync("h", "b", Token));
        // Its own successor under its name does not wait.
        Assert.Equal(2, await Store.TakeAsync("h", "a", Token));
        Assert.False(await Store.IsOfAsync("h", 1, Token));
        // What an earlier term gives back is not its to give.
        await Store.GiveBackAsync("h", 1, Token);
        Assert.Null(await Store.TakeAsync("h", "b", Token));
        await Store.GiveBackAsync("h", 2, Token);
        Assert.Equal(3, await Store.TakeAsync("h", "b", Token));

        await StandStillAsync("b");
        Assert.Equal(["a"], (await Store.ListReplicasAsync(Token)).Select(replica => replica.Name));
        Assert.Equal(4, await Store.TakeAsync("h", "a", Token));
        // When it wakes it lives again, and the host is another's.
        Assert.True(await Store.BeatAsync("b", _b, new Dictionary<string, StreamService.Streaming.Budgets.BudgetLoad>(), Token));
        Assert.Null(await Store.TakeAsync("h", "b", Token));
    }

    [Fact]
    public async Task Of_many_who_would_take_a_host_at_once_one_does()
    {
        foreach (var round in Enumerable.Range(0, 5))
        {
            var names = Enumerable.Range(0, 8).Select(i => $"r{round}-{i}").ToList();
            foreach (var name in names)
                await Store.JoinAsync(name, Guid.NewGuid(), Url, "1", Hosts, Token);
            var taken = await Task.WhenAll(names.Select(name => Store.TakeAsync($"host {round}", name, Token)));
            Assert.Equal(1, Assert.Single(taken, epoch => epoch is not null));
        }
    }

    [Fact]
    public async Task Name_of_a_replica_that_lives_is_no_other_processes()
    {
        Assert.False(await Store.JoinAsync("a", Guid.NewGuid(), Url, "1", Hosts, Token));
        await StandStillAsync("a");
        Assert.True(await Store.JoinAsync("a", Guid.NewGuid(), Url, "1", Hosts, Token));
        Assert.False(await Store.BeatAsync("a", _a, new Dictionary<string, StreamService.Streaming.Budgets.BudgetLoad>(), Token));
    }

    [Fact]
    public async Task Stream_that_an_earlier_driver_begins_is_refused_and_one_on_its_way_is_found_by_the_next()
    {
        var streams = new StreamStore(_contexts!, Microsoft.Extensions.Logging.Abstractions.NullLogger<StreamStore>.Instance);
        var first = await Store.TakeAsync("h", "a", Token);
        await streams.AddAsync(New(), null, first!.Value, Token);
        await StandStillAsync("a");
        var second = await Store.TakeAsync("h", "b", Token);
        await Assert.ThrowsAsync<LeaseLostException>(() => streams.AddAsync(New(), null, first.Value, Token));
        Assert.Single(await streams.TakeUpAsync("h", second!.Value, Token));

        // A transaction that has looked at the lease holds up whoever takes it, until what it adds can be found.
        await using var context = _contexts!.CreateDbContext();
        await context.Database.CreateExecutionStrategy().ExecuteAsync(async () =>
        {
            await using var transaction = await context.Database.BeginTransactionAsync(Token);
            await context.Database.ExecuteSqlAsync($"""SELECT 1 FROM "HostLeases" WHERE "Host" = 'h' AND "Epoch" = {second.Value} FOR SHARE""", Token);
            await StandStillAsync("b");
            await Store.JoinAsync("a", Guid.NewGuid(), Url, "1", Hosts, Token);
            var taking = Store.TakeAsync("h", "a", Token);
            context.Streams.Add(StreamRecord.From(New(), null, second.Value));
            await context.SaveChangesAsync(Token);
            Assert.False(taking.IsCompleted);
            await transaction.CommitAsync(Token);
            Assert.Equal(2, (await streams.TakeUpAsync("h", (await taking)!.Value, Token)).Count);
        });
    }

    public async ValueTask DisposeAsync()
    {
        if (_contexts is not null)
            await _contexts.DisposeAsync();
    }

    /// <summary>As if its last sign of life was long ago.</summary>
    private async Task StandStillAsync(string name)
    {
        await using var context = _contexts!.CreateDbContext();
        Assert.Equal(1, await context.Replicas.Where(replica => replica.Name == name).ExecuteUpdateAsync(update => update.SetProperty(replica => replica.BeatAt, replica => replica.BeatAt - 60_000), Token));
    }

    private static StreamStatus New() => new(Guid.NewGuid(), new DiskAddress("h", Guid.NewGuid(), "vda"), "vm", 1000, StreamMode.Full,
        new StreamSpec(null, 0, StreamPolicy.Fixed, StreamPriority.Normal, StreamOnError.Stop, null, StreamOrder.Sequential), StreamEngine.Pipelined, null, StreamState.Running,
        0, 0, null, 0, null, null, TimeProvider.System.GetUtcNow(), null, TimeProvider.System.GetUtcNow(), null, 1)
    {
        Labels = LabelSet.Of([]),
    };
}
