using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>
/// Carries pictures from the stream jobs and migrations to the hub, and to the hubs of other replicas: changes of state at once, progress at most so often a second
/// for each, and of progress that comes faster the latest. Where many connections watch many streams, progress as a whole is kept
/// within bounds: each stream's comes less often then, in turn, and changes of state as soon as ever.
/// </summary>
public sealed class ProgressPublisher(
    StreamManager streams,
    MigrationManager migrations,
    Subscribers subscribers,
    PictureBus bus,
    IOptions<StreamServiceOptions> options,
    IOptions<JsonHubProtocolOptions> protocol,
    TimeProvider time) : BackgroundService
{
    /// <summary>Looks for progress that is due so often in the time between two messages of a stream.</summary>
    private const int TicksPerInterval = 5;

    private readonly Channel<Func<int>> _changes = Channel.CreateUnbounded<Func<int>>();
    private readonly Lock _lock = new();

    /// <summary>Held while pictures are handed on: none overtakes one from before it.</summary>
    private readonly Lock _posting = new();

    /// <summary>Of each stream or migration that is not over, when its progress was sent last, and what waits to be.</summary>
    private readonly Dictionary<Guid, Pace> _paces = [];

    private sealed class Pace
    {
        public long? SentAt { get; set; }

        /// <summary>Sends the latest; null where nothing waits.</summary>
        public Func<int>? Held { get; set; }
    }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        streams.Published += (status, stateChanged) => Take(status.StreamId, stateChanged, status.IsFinal, () =>
        {
            bus.Send(status, stateChanged);
            return Post(status, stateChanged);
        });
        migrations.Published += (status, recorded) => Take(status.MigrationId, recorded, status.IsFinal, () =>
        {
            bus.Send(status);
            return Post(status, recorded);
        });
        bus.Received += (status, stateChanged) => Take(status.StreamId, stateChanged, status.IsFinal, () => Post(status, stateChanged));
        bus.MigrationReceived += status => Take(status.MigrationId, atOnce: true, status.IsFinal, () => Post(status, recorded: true));
        return base.StartAsync(cancellationToken);
    }

    private int Post(StreamStatus status, bool stateChanged) => subscribers.Post(status, stateChanged, () =>
    {
        var written = WrittenJson.Of(StreamStatusView.From(status), protocol.Value.PayloadSerializerOptions);
        return new HubPicture(status.StreamId, stateChanged, client => stateChanged ? client.StreamStateChanged(written) : client.StreamProgress(written));
    });

    private int Post(MigrationStatus status, bool recorded) => subscribers.Post(status, () =>
    {
        var written = WrittenJson.Of(MigrationView.From(status), protocol.Value.PayloadSerializerOptions);
        return new HubPicture(status.MigrationId, recorded, client => client.MigrationChanged(written));
    });

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await Task.WhenAll(PostChangesAsync(stoppingToken), PostProgressAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <param name="last">None follows.</param>
    private void Take(Guid of, bool atOnce, bool last, Func<int> post)
    {
        lock (_lock)
        {
            if (!atOnce)
            {
                if (!_paces.TryGetValue(of, out var pace))
                    _paces[of] = pace = new Pace();
                pace.Held = post;
                return;
            }
            // Progress from before it is out of date.
            if (last)
                _paces.Remove(of);
            else if (_paces.TryGetValue(of, out var superseded))
                superseded.Held = null;
            _changes.Writer.TryWrite(post);
        }
    }

    private async Task PostChangesAsync(CancellationToken cancellationToken)
    {
        while (await _changes.Reader.WaitToReadAsync(cancellationToken))
            lock (_posting)
                PostChanges();
    }

    private void PostChanges()
    {
        while (_changes.Reader.TryRead(out var post))
            post();
    }

    private async Task PostProgressAsync(CancellationToken cancellationToken)
    {
        var interval = TimeSpan.FromSeconds(1.0 / options.Value.Streaming.ProgressPerSecond);
        var perTick = options.Value.Streaming.ProgressMessagesPerSecond * interval.TotalSeconds / TicksPerInterval;
        var allowed = 0.0;
        using var timer = new PeriodicTimer(interval / TicksPerInterval, time);
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            // A picture that many want is sent where anything is allowed, and paid for by the ticks after it.
            allowed = Math.Min(allowed + perTick, perTick * TicksPerInterval);
            foreach (var pace in Due(interval))
            {
                if (allowed <= 0)
                    break;
                lock (_posting)
                {
                    PostChanges();
                    if (Start(pace) is { } post)
                        allowed -= post();
                }
            }
        }
    }

    /// <summary>What waits and is due, those first that have waited longest.</summary>
    private List<Pace> Due(TimeSpan interval)
    {
        lock (_lock)
            return [.. _paces.Values
                .Where(pace => pace.Held is not null && (pace.SentAt is not { } sent || time.GetElapsedTime(sent) >= interval))
                .OrderBy(pace => pace.SentAt ?? long.MinValue)];
    }

    private Func<int>? Start(Pace pace)
    {
        lock (_lock)
        {
            if (pace.Held is not { } post)
                return null;
            pace.SentAt = time.GetTimestamp();
            pace.Held = null;
            return post;
        }
    }
}
