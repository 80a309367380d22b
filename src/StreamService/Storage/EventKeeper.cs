using Microsoft.Extensions.Options;
using StreamService.Configuration;

namespace StreamService.Storage;

/// <summary>The hosted service that forgets old events, so that the database does not grow for ever.</summary>
public sealed class EventKeeper(EventStore events, IOptions<StreamServiceOptions> options, TimeProvider time, ILogger<EventKeeper> logger) : BackgroundService
{
    private static readonly TimeSpan PruneInterval = TimeSpan.FromMinutes(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(PruneInterval, time);
        try
        {
            do
                await PruneAsync(stoppingToken);
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task PruneAsync(CancellationToken cancellationToken)
    {
        try
        {
            var kept = options.Value.Events;
            await events.PruneAsync(time.GetUtcNow() - kept.KeepFor, kept.KeepAtMost, cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            StorageLog.PruneFailed(logger, exception.GetBaseException().Message);
        }
    }
}
