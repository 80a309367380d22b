using System.Collections.Concurrent;
using System.Data.Common;
using System.Reflection;
using Microsoft.EntityFrameworkCore;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Progress;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;
using StreamService.Streaming.Budgets;

namespace StreamService.Fleet;

/// <summary>This replica's place in the fleet: says every second that it lives, and knows who else does and who drives what.</summary>
public sealed class Membership : BackgroundService
{
    /// <summary>How long a replica waits at its start for the end of another one of its name.</summary>
    private static readonly TimeSpan NamePatience = TimeSpan.FromSeconds(20);

    private static readonly string Version = typeof(Membership).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    private readonly FleetStore _store;
    private readonly DatabaseSignals _signals;
    private readonly BudgetRegistry _budgets;
    private readonly bool _heardByHubs;
    private readonly TimeProvider _time;
    private readonly ILogger<Membership> _logger;
    private readonly Dictionary<string, bool> _hosts;
    private readonly ConcurrentDictionary<Guid, CancellationTokenSource> _living = new();
    private readonly SemaphoreSlim _signal = new(0);
    private FleetView _view = FleetView.Empty;
    private long _heardAt;
    private long _leasesReadAt;
    private int _leasesChanged = 1;
    private bool _heard;

    public Membership(FleetOptions options, FleetStore store, HostDirectory hosts, DatabaseSignals signals, BudgetRegistry budgets, PictureBus pictures, TimeProvider time, ILogger<Membership> logger)
    {
        (Name, Url) = (options.Name, new Uri(options.Url));
        (_store, _signals, _budgets, _time, _logger) = (store, signals, budgets, time, logger);
        _heardByHubs = pictures is RedisPictures;
        // A monitor socket is a file of this machine.
        _hosts = hosts.All.ToDictionary(hypervisor => hypervisor.Info.Name, hypervisor => hypervisor is QmpHypervisor or IDomainDefiner { IsLocal: true });
    }

    /// <summary>This replica's name.</summary>
    public string Name { get; }

    /// <summary>Of this process.</summary>
    public Guid Instance { get; } = Guid.NewGuid();

    /// <summary>Where the others reach this one.</summary>
    public Uri Url { get; }

    /// <summary>The fleet as it was last seen.</summary>
    public FleetView View => Volatile.Read(ref _view);

    /// <summary>All that live but this one.</summary>
    public IEnumerable<Replica> Others => View.Replicas.Where(replica => replica.Instance != Instance);

    /// <summary>
    /// Whether the others know that this replica lives, so that none takes its hosts. Asked from the clock: right also in the first instant
    /// after the process stood still.
    /// </summary>
    public bool IsAlive => Volatile.Read(ref _heard) && _time.GetElapsedTime(Volatile.Read(ref _heardAt)) < FleetTimes.DriveFor;

    /// <summary>Raised when the fleet was looked at, each second and whenever something is told. Must not block.</summary>
    public event Action? Looked;

    /// <inheritdoc/>
    /// <remarks>Ends when the others know of this replica.</remarks>
    /// <exception cref="InvalidOperationException">Another replica that lives has the name.</exception>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        var begun = _time.GetTimestamp();
        while (!await BeatAsync(cancellationToken))
        {
            if (_time.GetElapsedTime(begun) > NamePatience)
                throw new InvalidOperationException($"Another replica lives under the name '{Name}'. Give each its own: StreamService:Fleet:Name.");
            await Task.Delay(FleetTimes.Beat, _time, cancellationToken);
        }
        await LookAsync(cancellationToken);
        _signals.Subscribe(FleetStore.Topic, _ => LookSoon());
        await _signals.NotifyAsync(FleetStore.Topic, Name, cancellationToken);
        FleetLog.Joined(_logger, Name, Url, string.Join(", ", View.Replicas.Select(replica => replica.Name)));
        if (!_heardByHubs)
            FleetLog.NoRedis(_logger);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var away = false;
        while (!stoppingToken.IsCancellationRequested)
            try
            {
                if (_time.GetElapsedTime(Volatile.Read(ref _heardAt)) >= FleetTimes.Beat * 0.9 && !await BeatAsync(stoppingToken))
                    FleetLog.NameTaken(_logger, Name);
                await LookAsync(stoppingToken);
                if (away)
                    FleetLog.Back(_logger);
                away = false;
                await WaitAsync(stoppingToken);
            }
            catch (Exception exception) when (exception is DbException or DbUpdateException or TimeoutException || (exception is OperationCanceledException && !stoppingToken.IsCancellationRequested))
            {
                if (!away)
                    FleetLog.DatabaseAway(_logger, exception.GetBaseException().Message);
                away = true;
                await Task.Delay(FleetTimes.Beat / 4, _time, CancellationToken.None);
            }
            catch (OperationCanceledException)
            {
            }
    }

    /// <summary>Tells the others that this replica is gone. To be called when it drives nothing any more.</summary>
    public async Task LeaveAsync()
    {
        using var deadline = new CancellationTokenSource(FleetTimes.DriveFor, _time);
        try
        {
            await _store.LeaveAsync(Name, Instance, deadline.Token);
        }
        catch (Exception exception) when (exception is DbException or DbUpdateException or OperationCanceledException)
        {
            // They find out by themselves.
        }
    }

    public override void Dispose()
    {
        base.Dispose();
        _signal.Dispose();
        foreach (var living in _living.Values)
            living.Dispose();
    }

    private async Task<bool> BeatAsync(CancellationToken cancellationToken)
    {
        // Before the question, not at the answer: the database's clock counts from somewhere in between.
        var asked = _time.GetTimestamp();
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = _time.CreateTimer(_ => deadline.Cancel(), null, FleetTimes.DriveFor / 2, Timeout.InfiniteTimeSpan);
        if (!await _store.BeatAsync(Name, Instance, _budgets.Loads(), deadline.Token) && !await _store.JoinAsync(Name, Instance, Url, Version, _hosts, deadline.Token))
            return false;
        Volatile.Write(ref _heardAt, asked);
        Volatile.Write(ref _heard, true);
        return true;
    }

    private async Task LookAsync(CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = _time.CreateTimer(_ => deadline.Cancel(), null, FleetTimes.DriveFor / 2, Timeout.InfiniteTimeSpan);
        var before = View;
        var replicas = (await _store.ListReplicasAsync(deadline.Token)).OrderBy(replica => replica.Name, StringComparer.Ordinal)
            .Select(replica => replica with { Gone = _living.GetOrAdd(replica.Instance, _ => new CancellationTokenSource()).Token }).ToList();
        var others = !replicas.Select(replica => replica.Instance).SequenceEqual(before.Replicas.Select(replica => replica.Instance));
        var view = before with { Replicas = replicas };
        if (Interlocked.Exchange(ref _leasesChanged, 0) != 0 || others || _time.GetElapsedTime(_leasesReadAt) >= FleetTimes.Look)
        {
            var (leases, migrations) = await _store.ListLeasesAsync(deadline.Token);
            view = view with { Leases = leases, Migrations = migrations };
            _leasesReadAt = _time.GetTimestamp();
        }
        Volatile.Write(ref _view, view);
        if (others && before.Replicas.Count > 0)
            FleetLog.Changed(_logger, string.Join(", ", replicas.Select(replica => replica.Name)));
        foreach (var (instance, living) in _living)
            if (replicas.All(replica => replica.Instance != instance) && _living.TryRemove(instance, out _))
                await living.CancelAsync();
        _budgets.Share(Others.Select(replica => replica.Budgets));
        Looked?.Invoke();
    }

    private void LookSoon()
    {
        Interlocked.Exchange(ref _leasesChanged, 1);
        _signal.Release();
    }

    /// <summary>Until the next sign of life is due, or something is told.</summary>
    private async Task WaitAsync(CancellationToken cancellationToken)
    {
        var rest = FleetTimes.Beat - _time.GetElapsedTime(Volatile.Read(ref _heardAt));
        if (rest > TimeSpan.Zero)
            await _signal.WaitAsync(rest, cancellationToken);
        // However many told the same.
        while (_signal.Wait(0, CancellationToken.None))
        {
        }
    }
}
