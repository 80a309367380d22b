using System.Threading.Channels;

namespace StreamService.Deployment;

/// <summary>The hosted service behind deployments: learns profiles, makes seeds, and brings to its end what was left half done.</summary>
public sealed class DeploymentWorker(Deployer deployer, ProfileLearner learner, OverlaySeeds seeds, TimeProvider time, ILogger<DeploymentWorker> logger) : BackgroundService
{
    private static readonly TimeSpan TidyInterval = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.WhenAll(TidyAsync(stoppingToken), RunAllAsync(learner.Lessons, stoppingToken), RunAllAsync(seeds.Orders, stoppingToken));
    }

    /// <summary>Runs what comes side by side; returns when the service stops and all of it has ended.</summary>
    private async Task RunAllAsync(ChannelReader<Func<CancellationToken, Task>> orders, CancellationToken stopping)
    {
        var running = new HashSet<Task>();
        try
        {
            await foreach (var order in orders.ReadAllAsync(stopping))
            {
                running.RemoveWhere(task => task.IsCompleted);
                running.Add(GuardAsync(order, stopping));
            }
        }
        catch (OperationCanceledException)
        {
        }
        await Task.WhenAll(running);
    }

    private async Task TidyAsync(CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(TidyInterval, time);
        try
        {
            do
                await GuardAsync(deployer.TidyAsync, stopping);
            while (await timer.WaitForNextTickAsync(stopping));
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>What is done beside the callers' requests may fail: the database is away, say. The service goes on.</summary>
    private async Task GuardAsync(Func<CancellationToken, Task> work, CancellationToken stopping)
    {
        try
        {
            await work(stopping);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            DeploymentLog.Fault(logger, exception);
        }
    }
}
