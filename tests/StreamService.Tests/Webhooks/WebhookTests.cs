using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using StreamService.Migrations;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Tests.Api;
using StreamService.Tests.Migrations;
using StreamService.Tests.Streaming;
using StreamService.Webhooks;

namespace StreamService.Tests.Webhooks;

/// <summary>The whole service with a receiver that behaves, or does not.</summary>
public sealed class WebhookTests : IAsyncLifetime
{
    private readonly HostedService _service = new();
    private readonly FakeLogCollector _log = new();
    private WebhookListener _listener = null!;
    private WebApplicationFactory<Program> _logged = null!;

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _listener = await WebhookListener.StartAsync();
        Configure(0, "audit", _listener);
        _logged = _service.WithWebHostBuilder(host => host.ConfigureServices(services =>
            services.AddSingleton<ILogger<WebhookWorker>>(new FakeLogger<WebhookWorker>(_log))));
    }

    public async ValueTask DisposeAsync()
    {
        await _logged.DisposeAsync();
        await _service.DisposeAsync();
        await _listener.DisposeAsync();
    }

    [Fact]
    public async Task Event_is_a_signed_CloudEvent_with_the_status_as_its_data()
    {
        var status = New() with { State = StreamState.Waiting, Attempt = 2, LastError = new("host-unreachable", "Häuser ☃") };
        await RecordAsync(status);
        var migration = Migration();
        await _logged.Services.GetRequiredService<MigrationStore>().AddAsync(migration, null, epoch: 0, Token);
        Wake();

        var received = await _listener.WaitForAsync(all => all.Count == 2);
        Assert.All(received, one => Assert.True(_listener.IsSigned(one)));
        Assert.False(_listener.IsSigned(received[0] with { Body = received[0].Body.Replace("waiting", "running", StringComparison.Ordinal) }));
        Assert.All(received, one => Assert.Equal(one.Id, one.Headers["webhook-id"]));
        Assert.All(received, one => Assert.Equal("application/cloudevents+json; charset=utf-8", one.Headers["Content-Type"]));
        Assert.All(received, one => Assert.InRange(
            DateTimeOffset.FromUnixTimeSeconds(long.Parse(one.Headers["webhook-timestamp"], CultureInfo.InvariantCulture)), Now.AddMinutes(-1), Now));
        var first = received[0].Event;
        Assert.Equal("1.0", first.GetProperty("specversion").GetString());
        Assert.Equal("io.streamservice.stream.state-changed", first.GetProperty("type").GetString());
        Assert.Equal("urn:streamservice:host:local", first.GetProperty("source").GetString());
        Assert.Equal($"/streams/{status.StreamId}", first.GetProperty("subject").GetString());
        Assert.Equal(status.UpdatedAt, first.GetProperty("time").GetDateTimeOffset());
        Assert.Equal(("waiting", "Häuser ☃", status.Size), (
            received[0].Data.GetProperty("state").GetString(),
            received[0].Data.GetProperty("lastError").GetProperty("detail").GetString(),
            received[0].Data.GetProperty("size").GetInt64()));
        Assert.Equal("io.streamservice.migration.state-changed", received[1].Event.GetProperty("type").GetString());
        Assert.Equal("migrate", received[1].Data.GetProperty("step").GetString());
    }

    [Fact]
    public async Task Events_come_in_order_however_often_each_has_to_be_sent()
    {
        var refused = new Dictionary<string, int>();
        _listener.Answer = (context, received) =>
        {
            refused[received.Id] = refused.GetValueOrDefault(received.Id) + 1;
            // Twice badly, in three ways, then well.
            context.Response.StatusCode = refused[received.Id] > 2 ? 200 : refused.Count % 2 == 0 ? 503 : 500;
            if (refused[received.Id] == 2)
                context.Abort();
            return Task.CompletedTask;
        };
        var states = new[] { StreamState.Queued, StreamState.Running, StreamState.Paused, StreamState.Running, StreamState.Completed };
        var status = New();
        foreach (var state in states)
            await RecordAsync(status with { State = state });
        Wake();

        var received = await _listener.WaitForAsync(all => all.Count == 3 * states.Length);
        Assert.Equal(states.SelectMany(state => Enumerable.Repeat(state.ToString().ToLowerInvariant(), 3)), received.Select(one => one.Data.GetProperty("state").GetString()));
        Assert.Equal(states.Length, received.Select(one => one.Id).Distinct().Count());
        Assert.All(received, one => Assert.True(_listener.IsSigned(one)));
        await WaitForLogAsync(602, states.Length);
    }

    [Fact]
    public async Task Redirects_are_not_followed_and_neither_secret_nor_address_is_in_the_log()
    {
        await using var elsewhere = await WebhookListener.StartAsync();
        _listener.Answer = (context, _) =>
        {
            context.Response.Redirect(elsewhere.Url, permanent: false, preserveMethod: true);
            return Task.CompletedTask;
        };
        await RecordAsync(New());
        Wake();

        await _listener.WaitForAsync(all => all.Count >= 3);
        await WaitForLogAsync(601, 2);
        Assert.Empty(elsewhere.Received);
        Assert.Single(_listener.Received.Select(one => one.Id).Distinct());
        Assert.All(_log.GetSnapshot(), line =>
        {
            Assert.DoesNotContain(_listener.Secret, line.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("in-the-url", line.Message, StringComparison.Ordinal);
        });
        Assert.Contains(_log.GetSnapshot(), line => line.Message.Contains("It answered 307: redirects are not followed.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Receiver_that_hangs_holds_up_no_other_and_gets_the_event_once_it_answers()
    {
        await using var other = await WebhookListener.StartAsync();
        Configure(1, "other", other);
        var hangs = true;
        _listener.Answer = (context, _) => hangs ? Task.Delay(Timeout.Infinite, context.RequestAborted) : Task.CompletedTask;
        var status = New();
        await RecordAsync(status);
        await RecordAsync(status with { State = StreamState.Running });
        Wake();

        await other.WaitForAsync(all => all.Count == 2);
        await _listener.WaitForAsync(all => all.Count >= 2);
        Assert.Single(_listener.Received.Select(one => one.Id).Distinct());
        hangs = false;
        await _listener.WaitForAsync(all => all.Select(one => one.Id).Distinct().Count() == 2);
        Assert.Contains(_log.GetSnapshot(), line => line.Message.Contains("It has not answered within 0.5 s.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Event_that_nobody_takes_is_given_up_and_the_next_is_sent()
    {
        _service.Settings["StreamService:Webhooks:0:GiveUpAfter"] = "00:00:00.500";
        var (bad, good) = (New(), New());
        _listener.Answer = (context, received) =>
        {
            context.Response.StatusCode = received.Data.GetProperty("streamId").GetGuid() == bad.StreamId ? 500 : 200;
            return Task.CompletedTask;
        };
        await RecordAsync(bad with { UpdatedAt = Now });
        await RecordAsync(good with { UpdatedAt = Now });
        Wake();

        await _listener.WaitForAsync(all => all.Any(one => one.Data.GetProperty("streamId").GetGuid() == good.StreamId));
        var given = await WaitForLogAsync(603, 1);
        Assert.Contains(bad.StreamId.ToString(), given, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Types_narrow_what_is_sent()
    {
        _service.Settings["StreamService:Webhooks:0:Types:0"] = WebhookEvents.MigrationStateChanged;
        await RecordAsync(New());
        await _logged.Services.GetRequiredService<MigrationStore>().AddAsync(Migration(), null, epoch: 0, Token);
        await RecordAsync(New());
        await _logged.Services.GetRequiredService<MigrationStore>().UpdateAsync(Migration() with { State = MigrationState.Completed }, epoch: 0, Token);
        Wake();

        var received = await _listener.WaitForAsync(all => all.Count == 2);
        Assert.All(received, one => Assert.Equal(WebhookEvents.MigrationStateChanged, one.Event.GetProperty("type").GetString()));
    }

    [Fact]
    public async Task Next_service_goes_on_where_the_last_one_was_and_a_new_receiver_hears_of_what_comes()
    {
        var status = New();
        await RecordAsync(status);
        Wake();
        await _listener.WaitForAsync(all => all.Count == 1);
        // Nobody takes the second event while this service lives.
        _listener.Answer = (context, _) =>
        {
            context.Response.StatusCode = 500;
            return Task.CompletedTask;
        };
        await RecordAsync(status with { State = StreamState.Running });
        Wake();
        await _listener.WaitForAsync(all => all.Count >= 2);
        await using var late = await WebhookListener.StartAsync();

        await using var next = new HostedService();
        foreach (var (key, value) in _service.Settings)
            next.Settings[key] = value;
        Configure(next, 1, "late", late);
        await using var again = next.WithWebHostBuilder(host => host.UseSetting("StreamService:Storage:ConnectionString", _service.ConnectionString));
        await _logged.Services.GetRequiredService<WebhookWorker>().StopAsync(Token);
        var before = _listener.Received.Count;
        _listener.Answer = (_, _) => Task.CompletedTask;
        // It takes the stream up, and ends it: it knows no such host.
        Assert.Equal(2, again.Services.GetRequiredService<WebhookWorker>().Lanes.Count);

        var received = await _listener.WaitForAsync(all => all.Count == before + 2);
        Assert.Equal(["running", "failed"], received.Skip(before).Select(one => one.Data.GetProperty("state").GetString()));
        Assert.Equal(received[1].Id, received[before].Id);
        Assert.Equal("failed", Assert.Single(await late.WaitForAsync(all => all.Count == 1)).Data.GetProperty("state").GetString());
    }

    private static StreamStatus New() => StreamStatusTests.Status(StreamState.Queued) with { StreamId = Guid.NewGuid(), Error = null, Reason = null };

    /// <summary>Of today: what is old is forgotten.</summary>
    private static MigrationStatus Migration() => Sample.Migration() with { UpdatedAt = Now };

    private Task RecordAsync(StreamStatus status) => _logged.Services.GetRequiredService<StreamStore>().UpdateAsync(status, epoch: 0, Token);

    /// <summary>What streams do when they publish a state.</summary>
    private void Wake()
    {
        foreach (var lane in _logged.Services.GetRequiredService<WebhookWorker>().Lanes)
            lane.Wake();
    }

    private void Configure(int index, string name, WebhookListener listener) => Configure(_service, index, name, listener);

    private static void Configure(HostedService service, int index, string name, WebhookListener listener)
    {
        foreach (var (member, value) in new[]
        {
            ("Name", name), ("Url", listener.Url), ("Secret", listener.Secret), ("Timeout", "00:00:00.500"), ("RetryDelay", "00:00:00.020"), ("RetryDelayLimit", "00:00:00.100"),
            // Samples are dated into the future; none is given up for its age.
            ("GiveUpAfter", "1.00:00:00"),
        })
            service.Settings[$"StreamService:Webhooks:{index}:{member}"] = value;
    }

    private async Task<string> WaitForLogAsync(int id, int count)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (true)
        {
            var lines = _log.GetSnapshot().Where(line => line.Id.Id == id).ToList();
            if (lines.Count >= count)
                return lines[0].Message;
            await timer.WaitForNextTickAsync(deadline.Token);
        }
    }
}
