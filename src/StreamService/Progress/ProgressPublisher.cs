using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>
/// Carries pictures from the stream jobs and migrations to the hub: changes of state at once, progress at most so often a second
/// for each, and of progress that comes faster the latest.
/// </summary>
public sealed class ProgressPublisher(
    StreamManager streams,
    MigrationManager migrations,
    IHubContext<StreamHub, IStreamClient> hub,
    Subscribers subscribers,
    IOptions<StreamServiceOptions> options,
    TimeProvider time) : BackgroundService
{
    private readonly Channel<Picture> _pictures = Channel.CreateUnbounded<Picture>(new() { SingleReader = true });
    private readonly ConcurrentDictionary<Guid, Pace> _paces = new();

    /// <summary>A picture on its way.</summary>
    /// <param name="Of">The stream's or migration's id.</param>
    /// <param name="AtOnce">It is more than progress.</param>
    /// <param name="Last">None follows.</param>
    private sealed record Picture(Guid Of, bool AtOnce, bool Last, Func<Task> SendAsync);

    private sealed class Pace
    {
        public long? SentAt { get; set; }
        public Picture? Held { get; set; }
    }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        streams.Published += (status, stateChanged) => _pictures.Writer.TryWrite(new Picture(status.StreamId, stateChanged, status.IsFinal, () =>
        {
            var clients = hub.Clients.Clients(subscribers.For(status));
            var view = StreamStatusView.From(status);
            return stateChanged ? clients.StreamStateChanged(view) : clients.StreamProgress(view);
        }));
        migrations.Published += (status, recorded) => _pictures.Writer.TryWrite(new Picture(status.MigrationId, recorded, status.IsFinal, () =>
            hub.Clients.Clients(subscribers.For(status)).MigrationChanged(MigrationView.From(status))));
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
        await foreach (var picture in _pictures.Reader.ReadAllAsync(cancellationToken))
        {
            if (picture.AtOnce)
            {
                if (picture.Last)
                    _paces.TryRemove(picture.Of, out _);
                else if (_paces.TryGetValue(picture.Of, out var superseded))
                    lock (superseded)
                        superseded.Held = null;
                await picture.SendAsync();
                continue;
            }
            var pace = _paces.GetOrAdd(picture.Of, _ => new Pace());
            lock (pace)
            {
                if (pace.SentAt is { } sent && time.GetElapsedTime(sent) < interval)
                {
                    pace.Held = picture;
                    continue;
                }
                pace.SentAt = time.GetTimestamp();
                pace.Held = null;
            }
            await picture.SendAsync();
        }
    }

    private async Task SendHeldAsync(TimeSpan interval, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(interval / 5, time);
        while (await timer.WaitForNextTickAsync(cancellationToken))
            foreach (var pace in _paces.Values)
            {
                Picture? due = null;
                lock (pace)
                    if (pace.Held is not null && pace.SentAt is { } sent && time.GetElapsedTime(sent) >= interval)
                    {
                        (due, pace.Held) = (pace.Held, null);
                        pace.SentAt = time.GetTimestamp();
                    }
                if (due is not null)
                    await due.SendAsync();
            }
    }
}
