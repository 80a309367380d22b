using System.Diagnostics.Metrics;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;
using StreamService.Webhooks;

namespace StreamService.Telemetry;

/// <summary>What is looked up when somebody asks: nothing is counted between two scrapes.</summary>
internal sealed class ServiceGauges : IHostedService
{
    private static readonly StreamState[] ActiveStates = [StreamState.Queued, StreamState.Running, StreamState.Paused, StreamState.Waiting, StreamState.Finalizing];
    private static readonly MigrationState[] ActiveMigrations = [MigrationState.Running, MigrationState.Waiting, MigrationState.GoingBack];

    private readonly HostDirectory _hosts;
    private readonly StreamManager _streams;
    private readonly MigrationManager _migrations;
    private readonly BudgetRegistry _budgets;
    private readonly WebhookWorker _webhooks;

    public ServiceGauges(IMeterFactory meters, HostDirectory hosts, StreamManager streams, StreamTurns turns, BudgetRegistry budgets,
        MigrationManager migrations, Subscribers subscribers, WebhookWorker webhooks)
    {
        _hosts = hosts;
        _streams = streams;
        _migrations = migrations;
        _budgets = budgets;
        _webhooks = webhooks;
        // The meter factory disposes of it with the service.
        var meter = meters.Create(ServiceMeter.Name);
        meter.CreateObservableGauge("streamservice.streams", CountStreams, unit: null, "Streams that are not over, by host and state.");
        meter.CreateObservableGauge("streamservice.streams.waiting", CountWaiting, unit: null, "Streams that wait for what is missing, by host and cause: a fault's code, or stalled.");
        meter.CreateObservableGauge("streamservice.streams.rate", () => SumOverHosts(status => status.BytesPerSecond), "By/s", "Bytes per second that streams bring in.");
        meter.CreateObservableGauge("streamservice.streams.remaining", () => SumOverHosts(status => status.BytesRemaining ?? 0), "By", "Bytes that streams have still before them.");
        meter.CreateObservableGauge("streamservice.queue.length", () => turns.Waiting, unit: null, "Streams in line for their turn on a host or image source.");
        meter.CreateObservableGauge("streamservice.migrations", CountMigrations, unit: null, "Migrations that are not over, by state.");
        meter.CreateObservableGauge("streamservice.host.up", () => hosts.All.Select(host => Of(host.Info.State == HostState.Connected ? 1L : 0, host.Info.Name)), unit: null, "Whether a host can be reached.");
        meter.CreateObservableGauge("streamservice.budget.limit", () => budgets.List().Select(budget => OfBudget(budget, budget.PresentBytesPerSecond)), "By/s", "A budget's limit at this time of day; 0 is unlimited.");
        meter.CreateObservableGauge("streamservice.budget.streams", () => budgets.List().Select(budget => OfBudget(budget, budget.Streams)), unit: null, "Streams that share a budget now.");
        meter.CreateObservableGauge("streamservice.hub.subscribers", () => subscribers.Count, unit: null, "Connections of the hub that have subscribed to streams or migrations.");
        meter.CreateObservableGauge("streamservice.webhook.lag", () => webhooks.Lanes.Select(lane => new Measurement<double>(lane.Lag.TotalSeconds, WebhookMeters.NameOf(lane.Name))), "s", "Age of the oldest event that a receiver has not taken; 0 where it has all.");
    }

    /// <inheritdoc/>
    /// <remarks>By now somebody listens: what is counted shows from the start, at zero.</remarks>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var host in _hosts.All)
            new StreamMeters(host.Info.Name).Begin();
        foreach (var budget in _budgets.List())
            _ = new BudgetMeters(budget.Definition.Name);
        foreach (var lane in _webhooks.Lanes)
            WebhookMeters.Begin(lane.Name);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static Measurement<long> Of(long value, string host) => new(value, new KeyValuePair<string, object?>(ServiceMeter.Host, host));

    private static Measurement<long> OfBudget(BudgetStatus budget, long value) => new(value, BudgetMeters.NameOf(budget.Definition.Name));

    private IEnumerable<Measurement<long>> SumOverHosts(Func<StreamStatus, long> value)
    {
        var sums = _streams.ListActive().GroupBy(status => status.Disk.Host).ToDictionary(host => host.Key, host => host.Sum(value));
        return _hosts.All.Select(host => Of(sums.GetValueOrDefault(host.Info.Name), host.Info.Name));
    }

    private IEnumerable<Measurement<long>> CountStreams()
    {
        var counts = _streams.ListActive().CountBy(status => (status.Disk.Host, status.State)).ToDictionary();
        return _hosts.All.SelectMany(host => ActiveStates.Select(state =>
            new Measurement<long>(counts.GetValueOrDefault((host.Info.Name, state)), new(ServiceMeter.Host, host.Info.Name), StreamMeters.StateOf(state))));
    }

    private IEnumerable<Measurement<long>> CountWaiting()
    {
        var counts = _streams.ListActive().Where(status => status.State == StreamState.Waiting)
            .CountBy(status => (status.Disk.Host, status.Attempt > 0 && status.LastError is { } fault ? fault.Code : StreamFaults.Stalled)).ToDictionary();
        return _hosts.All.SelectMany(host => StreamFaults.PassingCodes.Append(StreamFaults.Stalled).Select(cause =>
            new Measurement<long>(counts.GetValueOrDefault((host.Info.Name, cause)), new(ServiceMeter.Host, host.Info.Name), new("cause", cause))));
    }

    private IEnumerable<Measurement<long>> CountMigrations()
    {
        var counts = _migrations.ListActive().CountBy(status => status.State).ToDictionary();
        return ActiveMigrations.Select(state => new Measurement<long>(counts.GetValueOrDefault(state), StreamMeters.StateOf(state)));
    }
}
