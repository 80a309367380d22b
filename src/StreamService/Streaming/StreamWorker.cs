using StreamService.Hypervisors;

namespace StreamService.Streaming;

/// <summary>
/// The hosted service that drives everything: the connections to the hosts, the streams that a former run left, and each
/// stream that <see cref="StreamManager"/> admits.
/// </summary>
public sealed class StreamWorker(StreamManager manager, HostDirectory hosts, SectorStepper stepper, TimeProvider time, ILogger<StreamWorker> logger) : BackgroundService
{
    /// <inheritdoc/>
    /// <remarks>Ends before the service listens: no caller may find a stream that is on record missing, and start a second one.</remarks>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await manager.TakeUpAsync(cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var disconnect = new CancellationTokenSource();
        foreach (var hypervisor in hosts.All)
            hypervisor.Changed += domain => manager.Wake(hypervisor.Info.Name, domain);
        var connections = hosts.All.Select(hypervisor => hypervisor.RunAsync(disconnect.Token)).ToList();
        var sweeping = SweepAsync(stoppingToken);
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
            // A clean stop: every job flushes and leaves its record for the next service.
        }
        await Task.WhenAll(driven);
        await sweeping;
        // The last to go: jobs flush and give their exports back over these.
        await disconnect.CancelAsync();
        await Task.WhenAll(connections);
    }

    private async Task DriveAsync(StreamJob job, CancellationToken stopping)
    {
        try
        {
            await job.RunAsync(stopping);
            await job.WaitUntilRecordedAsync(stopping);
            manager.Retire(job);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Stays on record as it is.
        }
        catch (Exception exception)
        {
            // A bug: the job is left on record, and the next service takes it up.
            StreamLog.JobFault(logger, exception);
        }
    }

    private async Task SweepAsync(CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(2), time);
        try
        {
            while (await timer.WaitForNextTickAsync(stopping))
                await stepper.SweepAsync();
        }
        catch (OperationCanceledException)
        {
            await stepper.DisposeAsync();
        }
    }
}
