using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Tests.Api;
using StreamService.Tests.Migrations;
using StreamService.Tests.Security;
using StreamService.Tests.Streaming;

namespace StreamService.Tests.Storage;

/// <summary>Events, written by the stores of streams and migrations into a real SQLite database, and read over HTTP.</summary>
public sealed class EventStoreTests : IAsyncDisposable
{
    private static readonly DateTimeOffset Time = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly HostedService _service = GuardedService.WithKeys(Scopes.StreamsRead);

    private StreamStore Streams => _service.Services.GetRequiredService<StreamStore>();

    private MigrationStore Migrations => _service.Services.GetRequiredService<MigrationStore>();

    private EventStore Events => _service.Services.GetRequiredService<EventStore>();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task States_of_a_stream_are_events_and_its_progress_is_none()
    {
        var status = New();
        await Streams.AddAsync(status, null, epoch: 0, Token);
        foreach (var next in new[]
        {
            status with { State = StreamState.Queued, Reason = "1st in line" },
            status with { State = StreamState.Queued, Reason = "2nd in line" },
            status with { State = StreamState.Running },
            status with { State = StreamState.Running, BytesStreamed = 700, Reason = "guest latency" },
            status with { State = StreamState.Waiting, Attempt = 1, LastError = new("host-unreachable", "away") },
            status with { State = StreamState.Waiting, Attempt = 2, LastError = new("host-unreachable", "still away") },
            status with { State = StreamState.Waiting, Attempt = 3, LastError = new("insufficient-storage", "full") },
            status with { State = StreamState.Failed, Error = new("disk-not-found", "gone"), FinishedAt = Time },
        })
            await Streams.UpdateAsync(next, epoch: 0, Token);

        var events = await Events.ListAsync(status.StreamId, after: 0, limit: 100, Token);
        Assert.Equal(
            [("Queued", null, null), ("Queued", "1st in line", null), ("Running", null, null), ("Waiting", null, "host-unreachable"), ("Waiting", null, "insufficient-storage"), ("Failed", null, "disk-not-found")],
            events.Select(happened => (happened.State, happened.Reason, happened.ErrorCode)));
        Assert.Equal(events.Count, events.Select(happened => happened.Id).Distinct().Count());
    }

    [Fact]
    public async Task States_that_a_database_missed_are_made_up_for_with_the_next_record()
    {
        var status = New();
        await Streams.AddAsync(status, null, epoch: 0, Token);

        await Streams.UpdateAsync(
            [
                status with { State = StreamState.Running, UpdatedAt = Time.AddSeconds(1) },
                status with { State = StreamState.Finalizing, UpdatedAt = Time.AddSeconds(2) },
                status with { State = StreamState.Completed, UpdatedAt = Time.AddSeconds(3), FinishedAt = Time.AddSeconds(3) },
            ],
            status with { State = StreamState.Completed, UpdatedAt = Time.AddSeconds(3), FinishedAt = Time.AddSeconds(3) }, epoch: 0, Token);

        Assert.Equal(
            [("Queued", Time), ("Running", Time.AddSeconds(1)), ("Finalizing", Time.AddSeconds(2)), ("Completed", Time.AddSeconds(3))],
            (await Events.ListAsync(status.StreamId, 0, 100, Token)).Select(happened => (happened.State, happened.Time)));
        Assert.Equal(StreamState.Completed, (await Streams.FindAsync(status.StreamId, Token))!.State);
    }

    [Fact]
    public async Task Event_keeps_the_whole_picture()
    {
        var status = New() with { Labels = LabelSet.Of(["web"]), TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", LastError = new("a", "b"), BootReadyAt = Time };
        await Streams.AddAsync(status, null, epoch: 0, Token);
        Assert.Equal(status, Assert.Single(await Events.ListAsync(status.StreamId, 0, 10, Token)).ToStream());

        var migration = Sample.Migration() with { UpdatedAt = Time, Labels = LabelSet.Of(["db"]), Memory = new(4, 3, 2, 1), LeftOnSource = ["/a"] };
        await Migrations.AddAsync(migration, null, epoch: 0, Token);
        await Migrations.UpdateAsync(migration with { Generation = 8 }, epoch: 0, Token);
        await Migrations.UpdateAsync(migration with { Step = MigrationStepName.Stream }, epoch: 0, Token);
        await Migrations.UpdateAsync(migration with { Step = MigrationStepName.Stream, State = MigrationState.Waiting }, epoch: 0, Token);
        var events = await Events.ListAsync(migration.MigrationId, 0, 10, Token);
        Assert.Equal(["Running", "Running", "Waiting"], events.Select(happened => happened.State));
        Assert.Equivalent(migration, events[0].ToMigration(), strict: true);
        Assert.Equal(("a", "b"), (events[0].Host, events[0].Destination));
    }

    [Fact]
    public async Task Old_events_and_those_beyond_a_number_are_forgotten()
    {
        var status = New();
        await Streams.AddAsync(status, null, epoch: 0, Token);
        for (var i = 1; i <= 9; i++)
            await Streams.UpdateAsync(status with { State = i % 2 == 0 ? StreamState.Running : StreamState.Paused, UpdatedAt = Time.AddHours(i) }, epoch: 0, Token);

        Assert.Equal(2, await Events.PruneAsync(Time.AddHours(2), most: 100, Token));
        Assert.Equal(0, await Events.PruneAsync(Time.AddHours(2), most: 8, Token));
        Assert.Equal(5, await Events.PruneAsync(Time.AddHours(2), most: 3, Token));

        Assert.Equal([Time.AddHours(7), Time.AddHours(8), Time.AddHours(9)], (await Events.ListAsync(status.StreamId, 0, 100, Token)).Select(happened => happened.Time));
    }

    [Fact]
    public async Task Pages_hold_each_event_once_the_oldest_first()
    {
        var status = New();
        await Streams.AddAsync(status, null, epoch: 0, Token);
        for (var i = 1; i < 7; i++)
            await Streams.UpdateAsync(status with { State = i % 2 == 0 ? StreamState.Running : StreamState.Paused, Generation = i }, epoch: 0, Token);
        await Streams.AddAsync(New(), null, epoch: 0, Token);

        using var client = _service.CreateClient(Scopes.StreamsRead);
        var generations = new List<long>();
        for (string? cursor = ""; cursor is not null;)
        {
            var page = await client.GetFromJsonAsync<JsonElement>($"/streams/{status.StreamId}/events?limit=3&cursor={cursor}", Token);
            generations.AddRange(page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("generation").GetInt64()));
            cursor = page.GetProperty("nextCursor").GetString();
        }
        Assert.Equal([42, 1, 2, 3, 4, 5, 6], generations);
    }

    [Fact]
    public async Task Who_does_not_see_the_stream_does_not_see_its_events()
    {
        _service.AddKey(1, "web", Scopes.StreamsRead);
        _service.Settings["StreamService:Auth:ApiKeys:1:Labels:0"] = "web";
        var (mine, theirs) = (New() with { Labels = LabelSet.Of(["web"]) }, New() with { Labels = LabelSet.Of(["db"]) });
        await Streams.AddAsync(mine, null, epoch: 0, Token);
        await Streams.AddAsync(theirs, null, epoch: 0, Token);
        using var client = _service.CreateClient("web");

        var seen = await client.GetFromJsonAsync<JsonElement>($"/streams/{mine.StreamId}/events", Token);
        Assert.Equal("queued", Assert.Single(seen.GetProperty("items").EnumerateArray()).GetProperty("state").GetString());
        foreach (var url in new[] { $"/streams/{theirs.StreamId}/events", $"/streams/{Guid.NewGuid()}/events", "/streams/none/events" })
        {
            using var hidden = await client.GetAsync(url, Token);
            Assert.Equal(HttpStatusCode.NotFound, hidden.StatusCode);
        }
        using var foreign = await client.GetAsync($"/streams/{mine.StreamId}/events?cursor=abc", Token);
        Assert.Equal(HttpStatusCode.BadRequest, foreign.StatusCode);
    }

    private static StreamStatus New() =>
        StreamStatusTests.Status(StreamState.Queued) with { StreamId = Guid.NewGuid(), Reason = null, Error = null, CreatedAt = Time, UpdatedAt = Time };
}
