using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Testing;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Tests.Streaming;

namespace StreamService.Tests.Storage;

/// <summary>On a real SQLite database, made by the migrations.</summary>
public sealed class StreamStoreTests : IAsyncLifetime
{
    private static readonly DateTimeOffset Time = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly string _file = Path.GetTempFileName();
    private readonly Contexts _contexts;
    private readonly StreamStore _store;

    public StreamStoreTests()
    {
        _contexts = new(new DbContextOptionsBuilder<StreamDbContext>().UseSqlite($"Data Source={_file};Pooling=False").Options);
        _store = new StreamStore(_contexts);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await using var context = _contexts.CreateDbContext();
        await context.Database.MigrateAsync(Token);
    }

    public ValueTask DisposeAsync()
    {
        SqliteConnection.ClearAllPools();
        File.Delete(_file);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Migrations_are_up_to_date_with_the_model()
    {
        await using var context = _contexts.CreateDbContext();
        Assert.False(context.Database.HasPendingModelChanges());
        Assert.Empty(await context.Database.GetPendingMigrationsAsync(Token));
    }

    [Fact]
    public async Task Newest_stream_of_a_disk_is_found_without_its_host()
    {
        var first = New();
        var second = first with { StreamId = Guid.NewGuid(), CreatedAt = Time.AddHours(1) };
        var elsewhere = second with { StreamId = Guid.NewGuid(), Disk = second.Disk with { Host = "elsewhere" }, CreatedAt = Time.AddHours(2) };
        var namesake = first with { StreamId = Guid.NewGuid(), Disk = first.Disk with { Domain = Guid.NewGuid() } };
        var otherDisk = first with { StreamId = Guid.NewGuid(), Disk = first.Disk with { Target = "vdz" }, CreatedAt = Time.AddHours(3) };
        foreach (var status in (StreamStatus[])[first, second, elsewhere, namesake, otherDisk])
            await _store.AddAsync(status, idempotencyKey: null, Token);

        var byId = await _store.ListLatestAsync(first.Disk.Domain, first.DomainName, first.Disk.Target, Token);
        var byName = await _store.ListLatestAsync(null, first.DomainName, first.Disk.Target, Token);

        Assert.Equal([elsewhere.StreamId], byId.Select(status => status.StreamId));
        Assert.Equal(new[] { elsewhere.StreamId, namesake.StreamId }.Order(), byName.Select(status => status.StreamId).Order());
        Assert.Empty(await _store.ListLatestAsync(null, "nobody", first.Disk.Target, Token));
    }

    [Fact]
    public async Task What_is_added_is_found_and_what_is_updated_replaces_it()
    {
        var status = New();
        await _store.AddAsync(status, "key", Token);
        Assert.Equal(status.StreamId, await _store.FindByIdempotencyKeyAsync("key", Token));
        Assert.Null(await _store.FindByIdempotencyKeyAsync("KEY", Token));
        var done = status with { State = StreamState.Completed, BytesStreamed = 900, Generation = 50, BytesPerSecond = 0, FinishedAt = Time.AddHours(1) };
        await _store.UpdateAsync(done, Token);
        Assert.Equal(done, await _store.FindAsync(status.StreamId, Token));
        Assert.Null(await _store.FindAsync(Guid.NewGuid(), Token));
    }

    [Fact]
    public async Task Record_that_was_lost_is_made_again()
    {
        var status = New();
        await _store.UpdateAsync(status, Token);
        Assert.Equal(status.StreamId, (await _store.FindAsync(status.StreamId, Token))!.StreamId);
    }

    [Fact]
    public async Task Rows_that_cannot_be_read_are_set_aside_and_keep_no_other_from_being_read()
    {
        var good = New();
        var bad = New();
        await _store.AddAsync(good, null, Token);
        await _store.AddAsync(bad, null, Token);
        var worse = New();
        await _store.AddAsync(worse, null, Token);
        await using (var context = _contexts.CreateDbContext())
        {
            Assert.Equal(1, await context.Database.ExecuteSqlAsync($"UPDATE Streams SET State = 'Rnning' WHERE StreamId = {bad.StreamId}", Token));
            Assert.Equal(1, await context.Database.ExecuteSqlAsync($"UPDATE Streams SET StreamId = 'no uuid' WHERE StreamId = {worse.StreamId}", Token));
        }
        var log = new FakeLogger<StreamDatabase>();

        await new StreamDatabase(_contexts, log).PrepareAsync(Token);

        Assert.Equal(good.StreamId, Assert.Single(await _store.ListAsync(new StreamFilter(), null, 10, Token)).StreamId);
        Assert.Equal(2, log.Collector.GetSnapshot().Count(line => line.Id.Id == 502));
        Assert.Contains(log.Collector.GetSnapshot(), line => line.Message.Contains(bad.StreamId.ToString(), StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task Database_that_was_deleted_is_noticed_and_made_anew()
    {
        var database = new StreamDatabase(_contexts, NullLogger<StreamDatabase>.Instance);
        await database.PrepareAsync(Token);
        Assert.False(database.IsLost());
        File.Delete(_file);
        Assert.True(database.IsLost());

        await database.ReopenAsync(Token);

        Assert.False(database.IsLost());
        Assert.Empty(await _store.ListAsync(new StreamFilter(), null, 10, Token));
    }

    [Fact]
    public async Task Latest_is_that_of_the_disk_also_at_equal_times()
    {
        var disk = New().Disk;
        Assert.Null(await _store.FindLatestAsync(disk, Token));
        var streams = Enumerable.Range(0, 6).Select(i => New(Time.AddSeconds(i / 2)) with { Disk = disk }).OrderBy(stream => stream.CreatedAt).ThenBy(stream => stream.StreamId).ToList();
        foreach (var stream in streams.AsEnumerable().Reverse())
            await _store.AddAsync(stream, null, Token);
        await _store.AddAsync(New(Time.AddDays(1)) with { Disk = disk with { Target = "vdb" } }, null, Token);
        await _store.AddAsync(New(Time.AddDays(1)) with { Disk = disk with { Host = "other" } }, null, Token);
        Assert.Equal(streams[^1].StreamId, (await _store.FindLatestAsync(disk, Token))!.StreamId);
    }

    [Fact]
    public async Task Pages_hold_each_stream_once_newest_first_also_at_equal_times()
    {
        // Ids that order differently as text, as bytes and as numbers.
        var random = new Random(4);
        for (var i = 0; i < 50; i++)
        {
            var bytes = new byte[16];
            random.NextBytes(bytes);
            await _store.AddAsync(New(Time.AddSeconds(i / 10)) with { StreamId = new Guid(bytes) }, null, Token);
        }
        var whole = await _store.ListAsync(new(), after: null, limit: 100, Token);
        Assert.Equal(50, whole.Select(stream => stream.StreamId).Distinct().Count());
        Assert.Equal(whole.Select(stream => stream.CreatedAt).OrderDescending(), whole.Select(stream => stream.CreatedAt));

        var paged = new List<StreamStatus>();
        while (await _store.ListAsync(new(), paged.Count == 0 ? null : new(paged[^1].CreatedAt, paged[^1].StreamId), limit: 3, Token) is { Count: > 0 } page)
            paged.AddRange(page);
        Assert.Equal(whole, paged);
    }

    [Fact]
    public async Task Filters_narrow_the_list_and_active_are_those_not_over_oldest_first()
    {
        var states = Enum.GetValues<StreamState>().Where(state => state != StreamState.Idle).ToList();
        foreach (var (i, state) in states.Index())
            await _store.AddAsync(New(Time.AddSeconds(-i), state), null, Token);
        var other = New() with { Disk = new DiskAddress("other", Guid.NewGuid(), "vda") };
        await _store.AddAsync(other, null, Token);

        Assert.Equal(other.StreamId, Assert.Single(await _store.ListAsync(new(Host: "other"), null, 10, Token)).StreamId);
        Assert.Equal(other.StreamId, Assert.Single(await _store.ListAsync(new(Domain: other.Disk.Domain), null, 10, Token)).StreamId);
        Assert.Equal([StreamState.Paused, StreamState.Failed], (await _store.ListAsync(new([StreamState.Failed, StreamState.Paused], "local"), null, 10, Token)).Select(stream => stream.State));
        Assert.Empty(await _store.ListAsync(new([StreamState.Idle]), null, 10, Token));
        var active = await _store.ListActiveAsync(Token);
        Assert.Equal(states.Count - 3 + 1, active.Count);
        Assert.DoesNotContain(active, stream => stream.IsFinal);
        Assert.Equal(active.Select(stream => stream.CreatedAt).Order(), active.Select(stream => stream.CreatedAt));
    }

    private static StreamStatus New(DateTimeOffset? createdAt = null, StreamState state = StreamState.Running) =>
        StreamStatusTests.Status(state) with { StreamId = Guid.NewGuid(), CreatedAt = createdAt ?? Time };

    private sealed class Contexts(DbContextOptions<StreamDbContext> options) : IDbContextFactory<StreamDbContext>
    {
        public StreamDbContext CreateDbContext() => new(options);
    }
}
