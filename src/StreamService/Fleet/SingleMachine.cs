using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;

namespace StreamService.Fleet;

/// <summary>The hosted service of a service without replicas: it drives all hosts for as long as it runs.</summary>
public sealed class SingleMachine(HostDirectory hosts, HostDriver driver, BudgetRegistry budgets, StreamManager streams, MigrationManager migrations) : BackgroundService
{
    private readonly List<HostTerm> _terms = [.. hosts.All.Select(hypervisor => new HostTerm(hypervisor, epoch: 0))];

    /// <inheritdoc/>
    /// <remarks>Ends before the service listens: no caller may find a stream that is on record missing, and start a second one.</remarks>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await budgets.LoadAsync(cancellationToken);
        await streams.FailElsewhereAsync([.. _terms.Select(term => term.Host)], cancellationToken);
        await migrations.FailElsewhereAsync(cancellationToken);
        foreach (var term in _terms)
            await driver.BeginAsync(term, cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // A clean stop: every job flushes and leaves its record for the next service.
        await using var stop = stoppingToken.Register(() => _terms.ForEach(term => term.End()));
        await Task.WhenAll(_terms.Select(driver.RunAsync));
    }
}
