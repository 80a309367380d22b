using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Migrations;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Webhooks;

/// <summary>The hosted service that delivers events: one lane for each configured receiver, so that none waits for another.</summary>
public sealed class WebhookWorker(
    IOptions<StreamServiceOptions> options,
    EventStore events,
    WebhookEvents form,
    WebhookSender sender,
    StreamManager streams,
    MigrationManager migrations,
    WebhookTurn turn,
    TimeProvider time,
    ILogger<WebhookWorker> logger) : BackgroundService
{
    /// <summary>In the order of the configuration.</summary>
    public IReadOnlyList<WebhookLane> Lanes { get; } =
        [.. options.Value.Webhooks.Select(receiver => new WebhookLane(receiver, events, form, sender, time, logger))];

    /// <inheritdoc/>
    /// <remarks>Places are taken before any stream is taken up: a receiver that is new hears of all that happens from then on.</remarks>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var lane in Lanes)
            await lane.BeginAsync(cancellationToken);
        // What is published is on record by then.
        streams.Published += (_, stateChanged) => Wake(stateChanged);
        migrations.Published += (_, recorded) => Wake(recorded);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (Lanes.Count == 0)
            return;
        try
        {
            await turn.RunAsync(cancellationToken => Task.WhenAll(Lanes.Select(lane => lane.RunAsync(cancellationToken))), stoppingToken);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
    }

    private void Wake(bool isNews)
    {
        if (!isNews)
            return;
        foreach (var lane in Lanes)
            lane.Wake();
    }
}
