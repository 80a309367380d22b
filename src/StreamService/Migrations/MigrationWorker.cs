namespace StreamService.Migrations;

/// <summary>The hosted service that drives migrations: those that a former run left, and each that <see cref="MigrationManager"/> admits.</summary>
public sealed class MigrationWorker(MigrationManager manager, TimeProvider time, ILogger<MigrationWorker> logger) : BackgroundService
{
    private static readonly TimeSpan AfterFault = TimeSpan.FromSeconds(5);

    /// <inheritdoc/>
    /// <remarks>Ends before the service listens: no caller may find a migration that is on record missing.</remarks>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await manager.TakeUpAsync(cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var driven = new HashSet<Task>();
        try
        {
            await foreach (var job in manager.Started.ReadAllAsync(stoppingToken))
            {
                driven.RemoveWhere(task => task.IsCompleted);
                driven.Add(DriveAsync(job, stoppingToken));
            }
        }
        catch (OperationCanceledException)
        {
        }
        await Task.WhenAll(driven);
    }

    private async Task DriveAsync(MigrationJob job, CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await job.RunAsync(stopping);
                await manager.RetireAsync(job);
                return;
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                // Stays on record as it is; the exports go on without us.
                return;
            }
            catch (Exception exception)
            {
                // A domain may be between two hosts: it is never dropped. The database may be away, say.
                MigrationLog.JobFault(logger, exception);
                await Task.Delay(AfterFault, time, stopping).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }
        }
    }
}
