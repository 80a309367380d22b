using System.Diagnostics.Metrics;

namespace StreamService.Telemetry;

/// <summary>What a budget measures.</summary>
internal sealed class BudgetMeters
{
    private static readonly Counter<long> Granted = ServiceMeter.Meter.CreateCounter<long>("streamservice.budget.granted", "By", "Bytes that a budget has let go.");

    private readonly KeyValuePair<string, object?> _budget;

    /// <remarks>Shows the counter at zero: an increase from nothing is none to Prometheus.</remarks>
    public BudgetMeters(string budget)
    {
        _budget = NameOf(budget);
        Grant(0);
    }

    public void Grant(long bytes) => Granted.Add(bytes, _budget);

    internal static KeyValuePair<string, object?> NameOf(string budget) => new("budget", budget);
}
