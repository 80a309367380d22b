using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Storage;

/// <summary>The hosted service that notices when the database was lost, and puts what is at work on record in the one that is there now.</summary>
public sealed class DatabaseKeeper(StreamDatabase database, StreamManager streams, MigrationManager migrations, TimeProvider time, ILogger<DatabaseKeeper> logger) : BackgroundService
{
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(2);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(LookInterval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
                await LookAsync(stoppingToken);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task LookAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (!database.IsLost())
                return;
            await database.ReopenAsync(cancellationToken);
            await streams.RecordAllAsync();
            await migrations.RecordAllAsync(cancellationToken);
            StorageLog.RecordedAgain(logger, database.Loss);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            StorageLog.StillLost(logger, database.Loss, exception);
        }
    }
}
