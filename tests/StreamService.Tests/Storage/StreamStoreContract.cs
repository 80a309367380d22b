using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Tests.Storage;

/// <summary>What must hold of the records of streams on any database that the migrations made.</summary>
public abstract class StreamStoreContract
{
    protected static readonly DateTimeOffset Time = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly Lazy<StreamStore> _store;

    protected StreamStoreContract() => _store = new(() => new StreamStore(Contexts, NullLogger<StreamStore>.Instance));

    /// <summary>Of the database.</summary>
    protected abstract IDbContextFactory<StreamDbContext> Contexts { get; }

    protected StreamStore Store => _store.Value;

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Migrations_are_up_to_date_with_the_model()
    {
        await using var context = await Contexts.CreateDbContextAsync(Token);
        Assert.False(context.Database.HasPendingModelChanges());
        Assert.Empty(await context.Database.GetPendingMigrationsAsync(Token));
    }

    [Fact]
    public async Task What_is_added_is_found_and_what_is_updated_replaces_it()
    {
        var status = New();
        await Store.AddAsync(status, "key", Token);
        Assert.Equal(status.StreamId, await Store.FindByIdempotencyKeyAsync("key", Token));
        Assert.Null(await Store.FindByIdempotencyKeyAsync("KEY", Token));
        var done = status with { State = StreamState.Completed, BytesStreamed = 900, Generation = 50, BytesPerSecond = 0, FinishedAt = Time.AddHours(1) };
        await Store.UpdateAsync(done, Token);
        Assert.Equal(done, await Store.FindAsync(status.StreamId, Token));
        Assert.Null(await Store.FindAsync(Guid.NewGuid(), Token));
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
            await Store.AddAsync(status, idempotencyKey: null, Token);

        var byId = await Store.ListLatestAsync(first.Disk.Domain, first.DomainName, first.Disk.Target, Token);
        var byName = await Store.ListLatestAsync(null, first.DomainName, first.Disk.Target, Token);

        Assert.Equal([elsewhere.StreamId], byId.Select(status => status.StreamId));
        Assert.Equal(new[] { elsewhere.StreamId, namesake.StreamId }.Order(), byName.Select(status => status.StreamId).Order());
        Assert.Empty(await Store.ListLatestAsync(null, "nobody", first.Disk.Target, Token));
    }

    [Fact]
    public async Task Record_that_was_lost_is_made_again()
    {
        var status = New();
        await Store.UpdateAsync(status, Token);
        Assert.Equal(status.StreamId, (await Store.FindAsync(status.StreamId, Token))!.StreamId);
    }

    [Fact]
    public async Task Latest_is_that_of_the_disk_also_at_equal_times()
    {
        var disk = New().Disk;
        Assert.Null(await Store.FindLatestAsync(disk, Token));
        var streams = Enumerable.Range(0, 6).Select(i => New(Time.AddSeconds(i / 2)) with { Disk = disk }).OrderBy(stream => stream.CreatedAt).ThenBy(stream => stream.StreamId).ToList();
        foreach (var stream in streams.AsEnumerable().Reverse())
            await Store.AddAsync(stream, null, Token);
        await Store.AddAsync(New(Time.AddDays(1)) with { Disk = disk with { Target = "vdb" } }, null, Token);
        await Store.AddAsync(New(Time.AddDays(1)) with { Disk = disk with { Host = "other" } }, null, Token);
        Assert.Equal(streams[^1].StreamId, (await Store.FindLatestAsync(disk, Token))!.StreamId);
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
            await Store.AddAsync(New(Time.AddSeconds(i / 10)) with { StreamId = new Guid(bytes) }, null, Token);
        }
        var whole = await Store.ListAsync(new(), after: null, limit: 100, Token);
        Assert.Equal(50, whole.Select(stream => stream.StreamId).Distinct().Count());
        Assert.Equal(whole.Select(stream => stream.CreatedAt).OrderDescending(), whole.Select(stream => stream.CreatedAt));

        var paged = new List<StreamStatus>();
        while (await Store.ListAsync(new(), paged.Count == 0 ? null : new(paged[^1].CreatedAt, paged[^1].StreamId), limit: 3, Token) is { Count: > 0 } page)
            paged.AddRange(page);
        Assert.Equal(whole, paged);
    }

    [Fact]
    public async Task Filters_narrow_the_list_and_active_are_those_not_over_oldest_first()
    {
        var states = Enum.GetValues<StreamState>().Where(state => state != StreamState.Idle).ToList();
        foreach (var (i, state) in states.Index())
            await Store.AddAsync(New(Time.AddSeconds(-i), state), null, Token);
        var other = New() with { Disk = new DiskAddress("other", Guid.NewGuid(), "vda") };
        await Store.AddAsync(other, null, Token);

        Assert.Equal(other.StreamId, Assert.Single(await Store.ListAsync(new(Host: "other"), null, 10, Token)).StreamId);
        Assert.Equal(other.StreamId, Assert.Single(await Store.ListAsync(new(Domain: other.Disk.Domain), null, 10, Token)).StreamId);
        Assert.Equal([StreamState.Paused, StreamState.Failed], (await Store.ListAsync(new([StreamState.Failed, StreamState.Paused], "local"), null, 10, Token)).Select(stream => stream.State));
        Assert.Empty(await Store.ListAsync(new([StreamState.Idle]), null, 10, Token));
        var active = await Store.ListActiveAsync(Token);
        Assert.Equal(states.Count - 3 + 1, active.Count);
        Assert.DoesNotContain(active, stream => stream.IsFinal);
        Assert.Equal(active.Select(stream => stream.CreatedAt).Order(), active.Select(stream => stream.CreatedAt));
    }

    [Fact]
    public async Task Stream_that_is_on_record_already_is_added_once()
    {
        var status = New();
        await Store.AddAsync(status, "key", Token);
        await Store.AddAsync(status, "key", Token);
        Assert.Single(await Store.ListAsync(new(), after: null, limit: 10, Token));
    }

    [Fact]
    public async Task Row_that_cannot_be_read_is_left_out_and_stays()
    {
        var good = New();
        var bad = New();
        await Store.AddAsync(good, null, Token);
        await Store.AddAsync(bad, null, Token);
        await using var context = await Contexts.CreateDbContextAsync(Token);
        Assert.Equal(1, await context.Database.ExecuteSqlAsync($"UPDATE \"Streams\" SET \"State\" = 'Dreaming' WHERE \"StreamId\" = {bad.StreamId}", Token));

        Assert.Equal(good.StreamId, Assert.Single(await Store.ListAsync(new(), after: null, limit: 10, Token)).StreamId);
        Assert.Equal(good.StreamId, Assert.Single(await Store.ListActiveAsync(Token)).StreamId);
        Assert.Null(await Store.FindAsync(bad.StreamId, Token));
        Assert.Null(await Store.FindLatestAsync(bad.Disk, Token));
        Assert.Equal(2, await context.Streams.CountAsync(Token));
    }

    protected static StreamStatus New(DateTimeOffset? createdAt = null, StreamState state = StreamState.Running) => new(
        Guid.NewGuid(), new DiskAddress("local", Guid.NewGuid(), "vda"), "web", 1000, StreamMode.Full,
        new StreamSpec("/base", 7, StreamPolicy.Fixed, StreamPriority.High, StreamOnError.Report, StreamEngine.Pipelined, StreamOrder.Sequential) { TargetLatencyMs = 2.5 },
        StreamEngine.Native, "The disk cannot be exported.", state, 300, 200, 600, BytesPerSecond: 100, "waits: größer", new StreamError("hypervisor-error", "no"),
        createdAt ?? Time, Time.AddSeconds(1), Time.AddTicks(12345), Time.AddSeconds(3), 42)
    {
        Labels = LabelSet.Of(["team-a", "gold"]),
    };
}
