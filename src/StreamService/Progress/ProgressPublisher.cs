using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>
/// Carries snapshots from the stream jobs to the hub: state changes at once, progress at most so often a second and
/// stream, and of progress that comes faster the latest.
/// </summary>
public sealed class ProgressPublisher(
    StreamManager manager,
    IHubContext<StreamHub, IStreamClient> hub,
    Subscribers subscribers,
    IOptions<StreamServiceOptions> options,
    TimeProvider time) : BackgroundService
{
    private readonly Channel<(StreamStatus Status, bool StateChanged)> _snapshots = Channel.CreateUnbounded<(StreamStatus, bool)>(new() { SingleReader = true });
    private readonly ConcurrentDictionary<Guid, Pace> _paces = new();

    private sealed class Pace
    {
        public long? SentAt { get; set; }
        public StreamStatus? Held { get; set; }
    }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        manager.Published += (status, stateChanged) => _snapshots.Writer.TryWrite((status, stateChanged));
        return base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var interval = TimeSpan.FromSeconds(1.0 / options.Value.Streaming.ProgressPerSecond);
        try
        {
            await Task.WhenAll(SendAsync(interval, stoppingToken), SendHeldAsync(interval, stoppingToken));
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task SendAsync(TimeSpan interval, CancellationToken cancellationToken)
    {
        await foreach (var (status, stateChanged) in _snapshots.Reader.ReadAllAsync(cancellationToken))
        {
            if (stateChanged)
            {
                if (status.IsFinal)
                    _paces.TryRemove(status.StreamId, out _);
                else if (_paces.TryGetValue(status.StreamId, out var superseded))
                    lock (superseded)
                        superseded.Held = null;
                await Clients(status).StreamStateChanged(StreamStatusView.From(status));
                continue;
            }
            var pace = _paces.GetOrAdd(status.StreamId, _ => new Pace());
            lock (pace)
            {
                if (pace.SentAt is { } sent && time.GetElapsedTime(sent) < interval)
                {
                    pace.Held = status;
                    continue;
                }
                pace.SentAt = time.GetTimestamp();
                pace.Held = null;
            }
            await Clients(status).StreamProgress(StreamStatusView.From(status));
        }
    }

    private async Task SendHeldAsync(TimeSpan interval, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(interval / 5, time);
        while (await timer.WaitForNextTickAsync(cancellationToken))
            foreach (var pace in _paces.Values)
            {
                StreamStatus? due = null;
                lock (pace)
                    if (pace.Held is not null && pace.SentAt is { } sent && time.GetElapsedTime(sent) >= interval)
                    {
                        (due, pace.Held) = (pace.Held, null);
                        pace.SentAt = time.GetTimestamp();
                    }
                if (due is not null)
                    await Clients(due).StreamProgress(StreamStatusView.From(due));
            }
    }

    private IStreamClient Clients(StreamStatus status) => hub.Clients.Clients(subscribers.For(status));
}
