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
        await Store.AddAsync(status, "key", epoch: 0, Token);
        Assert.Equal(status.StreamId, await Store.FindByIdempotencyKeyAsync("key", Token));
        Assert.Null(await Store.FindByIdempotencyKeyAsync("KEY", Token));
        var done = status with { State = StreamState.Completed, BytesStreamed = 900, Generation = 50, BytesPerSecond = 0, FinishedAt = Time.AddHours(1) };
        await Store.UpdateAsync(done, epoch: 0, Token);
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
            await Store.AddAsync(status, idempotencyKey: null, epoch: 0, Token);

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
        await Store.UpdateAsync(status, epoch: 0, Token);
        Assert.Equal(status.StreamId, (await Store.FindAsync(status.StreamId, Token))!.StreamId);
    }

    [Fact]
    public async Task Latest_is_that_of_the_disk_also_at_equal_times()
    {
        var disk = New().Disk;
        Assert.Null(await Store.FindLatestAsync(disk, Token));
        var streams = Enumerable.Range(0, 6).Select(i => New(Time.AddSeconds(i / 2)) with { Disk = disk }).OrderBy(stream => stream.CreatedAt).ThenBy(stream => stream.StreamId).ToList();
        foreach (var stream in streams.AsEnumerable().Reverse())
            await Store.AddAsync(stream, null, epoch: 0, Token);
        await Store.AddAsync(New(Time.AddDays(1)) with { Disk = disk with { Target = "vdb" } }, null, epoch: 0, Token);
        await Store.AddAsync(New(Time.AddDays(1)) with { Disk = disk with { Host = "other" } }, null, epoch: 0, Token);
        Assert.Equal(streams[^1].StreamId, (await Store.FindLatestAsync(disk, Token))!.StreamId);
    }

    public static TheoryData<StreamSort, SortDirection> Orderings =>
        [.. from sort in Enum.GetValues<StreamSort>() from direction in Enum.GetValues<SortDirection>() select (sort, direction)];

    [Theory]
    [MemberData(nameof(Orderings))]
    public async Task Pages_hold_each_stream_once_in_their_order_also_at_equal_keys(StreamSort sort, SortDirection direction)
    {
        // Ids that order differently as text, as bytes and as numbers.
        var random = new Random(4);
        for (var i = 0; i < 50; i++)
        {
            var bytes = new byte[16];
            random.NextBytes(bytes);
            var stream = New(Time.AddSeconds(i / 10), i % 3 == 0 ? StreamState.Completed : StreamState.Running);
            await Store.AddAsync(stream with
            {
                StreamId = new Guid(bytes),
                DomainName = $"Web {i % 7}",
                Disk = stream.Disk with { Host = $"h{i % 3}" },
                UpdatedAt = Time.AddSeconds(i % 5),
                BytesPerSecond = i % 4 * 1000,
                BytesRemaining = i % 6 == 0 ? null : i % 6 * 5000,
            }, null, epoch: 0, Token);
        }
        var ordering = StreamOrdering.By(sort, direction);
        var whole = await Store.ListAsync(new(), ordering, after: null, limit: 100, Token);
        Assert.Equal(50, whole.Select(listed => listed.Status.StreamId).Distinct().Count());

        var paged = new List<StreamListing>();
        while (await Store.ListAsync(new(), ordering, paged.Count == 0 ? null : paged[^1].Position, limit: 3, Token) is { Count: > 0 } page)
            paged.AddRange(page);
        Assert.Equal(whole.Select(listed => listed.Status.StreamId), paged.Select(listed => listed.Status.StreamId));

        var keys = whole.Select(listed => Key(listed.Status, sort)).ToList();
        var known = keys.Where(key => key is not null).ToList();
        // Those that have no key are last, whichever way.
        Assert.Equal(known, keys.Take(known.Count));
        Assert.Equal(direction == SortDirection.Asc ? known.Order() : known.OrderDescending(), known);
        Assert.True(known.Distinct().Count() > 2);
    }

    [Fact]
    public async Task Row_that_cannot_be_read_ends_no_page_before_its_time()
    {
        var streams = Enumerable.Range(0, 8).Select(i => New(Time.AddSeconds(-i))).ToList();
        foreach (var stream in streams)
            await Store.AddAsync(stream, null, epoch: 0, Token);
        foreach (var i in new[] { 1, 2, 3, 6 })
        {
            await using var context = await Contexts.CreateDbContextAsync(Token);
            await context.Database.ExecuteSqlAsync($"""UPDATE "Streams" SET "Policy" = 'generous' WHERE "StreamId" = {streams[i].StreamId}""", Token);
        }

        var first = await Store.ListAsync(new(), StreamOrdering.Newest, after: null, limit: 3, Token);
        var second = await Store.ListAsync(new(), StreamOrdering.Newest, first[^1].Position, limit: 3, Token);

        Assert.Equal([streams[0].StreamId, streams[4].StreamId, streams[5].StreamId], first.Select(listed => listed.Status.StreamId));
        Assert.Equal([streams[7].StreamId], second.Select(listed => listed.Status.StreamId));
    }

    private static IComparable? Key(StreamStatus status, StreamSort sort) => sort switch
    {
        StreamSort.Created => status.CreatedAt,
        StreamSort.Updated => status.UpdatedAt,
        StreamSort.Name => status.DomainName,
        StreamSort.Host => status.Disk.Host,
        StreamSort.Rate => status.BytesPerSecond,
        StreamSort.Eta => status.IsFinal ? null : (long?)status.EtaSeconds,
        _ => status.BytesRemaining,
    };

    [Fact]
    public void Each_ordering_has_its_own_way_unless_told_otherwise_and_knows_its_keys()
    {
        Assert.Same(StreamOrdering.Newest, StreamOrdering.By(StreamSort.Created, direction: null));
        Assert.Same(StreamOrdering.By(StreamSort.Name, SortDirection.Asc), StreamOrdering.By(StreamSort.Name, direction: null));
        Assert.Equal(14, Orderings.Select(row => StreamOrdering.By(row.Data.Item1, row.Data.Item2).Name).Distinct().Count());
        Assert.False(StreamOrdering.Newest.IsKey("web"));
        Assert.False(StreamOrdering.Newest.IsKey("-1"));
        Assert.True(StreamOrdering.By(StreamSort.Name, null).IsKey("web"));
    }

    [Fact]
    public async Task Search_wants_every_word_in_name_target_or_host_in_whatever_case_or_an_id()
    {
        var web = New() with { DomainName = "Web-Front", Disk = new DiskAddress("rack1", Guid.NewGuid(), "vda") };
        var data = New() with { DomainName = "data_50%", Disk = new DiskAddress("rack2", Guid.NewGuid(), "vdb") };
        await Store.AddAsync(web, null, epoch: 0, Token);
        await Store.AddAsync(data, null, epoch: 0, Token);

        foreach (var (search, found) in new (string, StreamStatus[])[]
        {
            ("web", [web]), ("FRONT", [web]), ("rack", [web, data]), ("rack vdb", [data]), ("web vdb", []), ("  ", [web, data]),
            ("50%", [data]), ("_", [data]), (web.StreamId.ToString(), [web]), (data.Disk.Domain.ToString(), [data]),
        })
            Assert.Equal(found.Select(stream => stream.StreamId).Order(), (await ListAsync(new() { Search = search })).Select(stream => stream.StreamId).Order());
    }

    [Fact]
    public async Task Caller_limits_are_asked_of_the_database()
    {
        var labels = new[] { "web", "webber", "db\nweb", null };
        foreach (var (i, text) in labels.Index())
            await Store.AddAsync(New() with { DomainName = $"d{i}", Labels = new(text), Disk = new DiskAddress($"h{i}", Guid.NewGuid(), "vda") }, null, epoch: 0, Token);

        Assert.Equal(["d0", "d2"], await NamesAsync(new() { Labels = ["web"] }));
        Assert.Equal(["d0", "d1", "d2"], await NamesAsync(new() { Labels = ["web", "webber"] }));
        Assert.Equal(["d1", "d3"], await NamesAsync(new() { Hosts = ["h1", "h3"] }));
        Assert.Equal(["d2"], await NamesAsync(new() { Hosts = ["h1", "h2"], Labels = ["web"] }));
    }

    [Fact]
    public async Task Sums_are_by_host_and_state_and_what_failed_needs_nobody_once_another_was_begun()
    {
        var failed = New(Time, StreamState.Failed);
        await Store.AddAsync(failed, null, epoch: 0, Token);
        await Store.AddAsync(New(Time, StreamState.Failed), null, epoch: 0, Token);
        await Store.AddAsync(New(Time, StreamState.Waiting) with { BytesPerSecond = 0 }, null, epoch: 0, Token);
        await Store.AddAsync(New(Time.AddSeconds(1)) with { Disk = failed.Disk, BytesPerSecond = 70, BytesRemaining = null }, null, epoch: 0, Token);
        await Store.AddAsync(New() with { BytesPerSecond = 30, BytesRemaining = 500, Disk = new DiskAddress("other", Guid.NewGuid(), "vda") }, null, epoch: 0, Token);

        var sums = await Store.SumAsync(new(), Token);

        Assert.Equal(
            [new("local", StreamState.Failed, 2, 0, 0), new("local", StreamState.Running, 1, 0, 70), new("local", StreamState.Waiting, 1, 600, 0), new("other", StreamState.Running, 1, 500, 30)],
            sums.OrderBy(sum => sum.Host).ThenBy(sum => sum.State.ToString()));
        Assert.Equal(new("other", StreamState.Running, 1, 500, 30), Assert.Single(await Store.SumAsync(new(Host: "other"), Token)));
        Assert.Equal(1, await Store.CountAsync(new([StreamState.Failed]) { LatestOnly = true }, Token));
        Assert.Equal(2, await Store.CountAsync(new([StreamState.Failed]), Token));
    }

    [Fact]
    public async Task Filters_narrow_the_list_and_active_are_those_not_over_oldest_first()
    {
        var states = Enum.GetValues<StreamState>().Where(state => state != StreamState.Idle).ToList();
        foreach (var (i, state) in states.Index())
            await Store.AddAsync(New(Time.AddSeconds(-i), state), null, epoch: 0, Token);
        var other = New() with { Disk = new DiskAddress("other", Guid.NewGuid(), "vda") };
        await Store.AddAsync(other, null, epoch: 0, Token);

        Assert.Equal(other.StreamId, Assert.Single(await ListAsync(new(Host: "other"))).StreamId);
        Assert.Equal(other.StreamId, Assert.Single(await ListAsync(new(Domain: other.Disk.Domain))).StreamId);
        Assert.Equal([StreamState.Paused, StreamState.Failed], (await ListAsync(new([StreamState.Failed, StreamState.Paused], "local"))).Select(stream => stream.State));
        Assert.Empty(await ListAsync(new([StreamState.Idle])));
        var active = await Store.TakeUpAsync("local", epoch: 0, Token);
        Assert.Equal(states.Count - 3, active.Count);
        Assert.Equal([other.StreamId], (await Store.ListActiveElsewhereAsync(["local"], Token)).Select(stream => stream.StreamId));
        Assert.DoesNotContain(active, stream => stream.IsFinal);
        Assert.Equal(active.Select(stream => stream.CreatedAt).Order(), active.Select(stream => stream.CreatedAt));
    }

    [Fact]
    public async Task Stream_that_is_on_record_already_is_added_once()
    {
        var status = New();
        await Store.AddAsync(status, "key", epoch: 0, Token);
        await Store.AddAsync(status, "key", epoch: 0, Token);
        Assert.Single(await ListAsync(new()));
    }

    [Fact]
    public async Task Record_that_a_later_term_has_taken_up_is_closed_to_the_earlier_one()
    {
        var status = New() with { Generation = 5 };
        var over = New(state: StreamState.Completed);
        await Store.AddAsync(status, "key", epoch: 0, Token);
        await Store.AddAsync(over, null, epoch: 0, Token);

        var taken = Assert.Single(await Store.TakeUpAsync("local", epoch: 2, Token));
        Assert.True(taken.Generation > status.Generation);
        await Assert.ThrowsAsync<LeaseLostException>(() => Store.UpdateAsync(status with { State = StreamState.Completed }, epoch: 0, Token));
        Assert.Equal((StreamState.Running, 5), (await Store.FindAsync(status.StreamId, Token)) is { } still ? (still.State, still.Generation) : default);

        await Store.UpdateAsync(taken with { State = StreamState.Completed }, epoch: 2, Token);
        Assert.Equal(StreamState.Completed, (await Store.FindAsync(status.StreamId, Token))?.State);
        Assert.Equal(status.StreamId, await Store.FindByIdempotencyKeyAsync("key", Token));
        // An earlier term that comes again takes nothing back, and what was over stays as it was.
        Assert.Empty(await Store.TakeUpAsync("local", epoch: 1, Token));
        await Store.UpdateAsync(over, epoch: 0, Token);
    }

    [Fact]
    public async Task Row_that_cannot_be_read_is_left_out_and_stays()
    {
        var good = New();
        var bad = New();
        await Store.AddAsync(good, null, epoch: 0, Token);
        await Store.AddAsync(bad, null, epoch: 0, Token);
        await using var context = await Contexts.CreateDbContextAsync(Token);
        Assert.Equal(1, await context.Database.ExecuteSqlAsync($"UPDATE \"Streams\" SET \"State\" = 'Dreaming' WHERE \"StreamId\" = {bad.StreamId}", Token));

        Assert.Equal(good.StreamId, Assert.Single(await ListAsync(new())).StreamId);
        Assert.Equal(good.StreamId, Assert.Single(await Store.TakeUpAsync("local", epoch: 0, Token)).StreamId);
        Assert.Null(await Store.FindAsync(bad.StreamId, Token));
        Assert.Null(await Store.FindLatestAsync(bad.Disk, Token));
        Assert.Equal(2, await context.Streams.CountAsync(Token));
    }

    protected async Task<IReadOnlyList<StreamStatus>> ListAsync(StreamFilter filter) =>
        [.. (await Store.ListAsync(filter, StreamOrdering.Newest, after: null, limit: 100, Token)).Select(listed => listed.Status)];

    private async Task<IEnumerable<string>> NamesAsync(StreamFilter filter) => (await ListAsync(filter)).Select(stream => stream.DomainName).Order();

    protected static StreamStatus New(DateTimeOffset? createdAt = null, StreamState state = StreamState.Running) => new(
        Guid.NewGuid(), new DiskAddress("local", Guid.NewGuid(), "vda"), "web", 1000, StreamMode.Full,
        new StreamSpec("/base", 7, StreamPolicy.Fixed, StreamPriority.High, StreamOnError.Report, StreamEngine.Pipelined, StreamOrder.Sequential) { TargetLatencyMs = 2.5 },
        StreamEngine.Native, "The disk cannot be exported.", state, 300, 200, 600, BytesPerSecond: 100, "waits: größer", new StreamError("hypervisor-error", "no"),
        createdAt ?? Time, Time.AddSeconds(1), Time.AddTicks(12345), Time.AddSeconds(3), 42)
    {
        Labels = LabelSet.Of(["team-a", "gold"]),
    };
}
