using System.Data.Common;
using System.Threading.Channels;
using Microsoft.EntityFrameworkCore;
using StreamService.Storage;
using StreamService.Streaming.Budgets;

namespace StreamService.Fleet;

/// <summary>The hosted service that reads the budgets, and reads them again when another replica has changed one.</summary>
public sealed class FleetBudgets(BudgetRegistry budgets, DatabaseSignals signals, TimeProvider time, ILogger<FleetBudgets> logger) : BackgroundService
{
    private static readonly TimeSpan AfterFault = TimeSpan.FromSeconds(1);

    private readonly Channel<bool> _changed = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        signals.Subscribe(BudgetStore.Topic, _ => _changed.Writer.TryWrite(true));
        await budgets.LoadAsync(cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await foreach (var _ in _changed.Reader.ReadAllAsync(stoppingToken))
                try
                {
                    await budgets.ReloadAsync(stoppingToken);
                }
                catch (Exception exception) when (exception is DbException or DbUpdateException)
                {
                    FleetLog.DatabaseAway(logger, exception.GetBaseException().Message);
                    await Task.Delay(AfterFault, time, stoppingToken);
                    _changed.Writer.TryWrite(true);
                }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
