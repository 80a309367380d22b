using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Storage.PostgreSql;

namespace StreamService.Fleet;

/// <summary>
/// The hosted service that takes the hosts which this replica should drive, and gives back those that others should: what
/// <see cref="LeaseSpread"/> says. Each host has a lock in the database, and a row that tells its driver and epoch.
/// </summary>
/// <remarks>
/// Whoever has the row drives, for as long as it says that it lives (<see cref="Membership.IsAlive"/>). The lock keeps those who would take it apart; its
/// loss alone, with a connection or a restart of the database, ends nothing: it is sought again.
/// </remarks>
public sealed class LeaseKeeper : BackgroundService
{
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(250);

    /// <summary>For how long this replica's own lock may be somebody else's in a session that nobody is behind any more.</summary>
    private static readonly TimeSpan OwnSession = TimeSpan.FromSeconds(2);

    /// <summary>How long a host may take to change hands for a migration.</summary>
    private static readonly TimeSpan ClaimPatience = TimeSpan.FromSeconds(20);

    private readonly Membership _membership;
    private readonly FleetStore _store;
    private readonly HostDirectory _hosts;
    private readonly HostTerms _terms;
    private readonly HostDriver _driver;
    private readonly TimeProvider _time;
    private readonly ILogger<LeaseKeeper> _logger;
    private readonly string _connectionString;
    private readonly ConcurrentDictionary<string, Seat> _seats = new();
    private readonly SemaphoreSlim _look = new(0);
    private CancellationToken _stopping;
    private (FleetView View, IReadOnlyDictionary<string, string> Hosts) _assigned = (FleetView.Empty, new Dictionary<string, string>());

    public LeaseKeeper(StorageOptions storage, Membership membership, FleetStore store, HostDirectory hosts, HostTerms terms, HostDriver driver, TimeProvider time, ILogger<LeaseKeeper> logger)
    {
        (_membership, _store, _hosts, _terms, _driver, _time, _logger) = (membership, store, hosts, terms, driver, time, logger);
        // Sessions of their own: they hold locks, many on one.
        _connectionString = new Npgsql.NpgsqlConnectionStringBuilder(storage.PostgreSqlConnectionString) { ApplicationName = $"streamservice leases {membership.Name}", MaxPoolSize = 8 }.ToString();
        _membership.Looked += () => _look.Release();
    }

    /// <summary>A host on its way to this replica, with it, or on its way from it.</summary>
    private sealed class Seat
    {
        public HostTerm? Term { get; set; }
        public Task Running { get; set; } = Task.CompletedTask;
    }

    /// <inheritdoc cref="ClaimHost"/>
    public async Task<IDisposable> ClaimAsync(string host, CancellationToken cancellationToken)
    {
        var view = _membership.View;
        if (_terms.Find(host) is null && view.Migrations.Any(migration => migration.Destination == host || migration.Source == host))
            throw new HostUnreachableException(host, $"{view.DriverOf(host)?.Name ?? "Another replica"} drives it for as long as a migration from or to it lasts.");
        if (!await _store.WantAsync(host, _membership.Name, cancellationToken))
            throw new HostUnreachableException(host, "Another replica needs it for a migration that begins.");
        var claim = new Claim(() => _store.WantNoMoreAsync(host, _membership.Name, CancellationToken.None));
        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var timer = _time.CreateTimer(_ => deadline.Cancel(), null, ClaimPatience, Timeout.InfiniteTimeSpan);
            while (_terms.Find(host) is not { Hypervisor.Info.State: HostState.Connected })
                await Task.Delay(Glance, _time, deadline.Token);
            return claim;
        }
        catch (OperationCanceledException)
        {
            claim.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            throw new HostUnreachableException(host, $"{view.DriverOf(host)?.Name ?? "The replica that drives it"} has not given it up within {ClaimPatience.TotalSeconds:0} s.");
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        _stopping = stoppingToken;
        try
        {
            while (true)
            {
                if (_membership.IsAlive)
                    Follow(Assign(_membership.View));
                await _look.WaitAsync(stoppingToken);
                while (_look.Wait(0, CancellationToken.None))
                {
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
        // A clean stop ends all terms: every job flushes and leaves its record, and the others take the hosts over at once.
        await Task.WhenAll(_seats.Values.Select(seat => seat.Running));
        await _membership.LeaveAsync();
    }

    /// <summary>Who should drive what; reckoned anew where anything has changed.</summary>
    private IReadOnlyDictionary<string, string> Assign(FleetView view)
    {
        var known = _assigned.View;
        if (!ReferenceEquals(known.Leases, view.Leases) || !known.Migrations.SequenceEqual(view.Migrations)
            || !known.Replicas.Select(replica => replica.Instance).SequenceEqual(view.Replicas.Select(replica => replica.Instance)))
            _assigned = (view, LeaseSpread.Assign(view));
        return _assigned.Hosts;
    }

    /// <summary>Takes what is assigned to this replica and free, and gives back some of what is assigned to others.</summary>
    private void Follow(IReadOnlyDictionary<string, string> assigned)
    {
        var view = _membership.View;
        foreach (var hypervisor in _hosts.All)
        {
            var host = hypervisor.Info.Name;
            if (assigned.GetValueOrDefault(host) != _membership.Name || view.DriverOf(host) is { } driver && driver.Instance != _membership.Instance)
                continue;
            var seat = new Seat();
            if (_seats.TryAdd(host, seat))
                seat.Running = SitAsync(seat, hypervisor);
        }
        var surplus = _seats.Where(seat => seat.Value.Term is { Ending.IsCancellationRequested: false } && assigned.GetValueOrDefault(seat.Key) != _membership.Name).ToList();
        // A few at a time: each interrupts the host's streams for a moment.
        foreach (var (host, seat) in surplus.Take(Math.Max(1, surplus.Count / 10)))
        {
            FleetLog.GivenBack(_logger, host);
            seat.Term!.End();
        }
    }

    /// <summary>From the attempt to take a host to the end of its term.</summary>
    private async Task SitAsync(Seat seat, IHypervisor hypervisor)
    {
        await Task.Yield();
        var sat = false;
        var host = hypervisor.Info.Name;
        try
        {
            await using var hostLock = new FleetLock(_connectionString, $"host {host}");
            if (!await hostLock.TryAcquireAsync() && !(await EndDeadSessionAsync(host, hostLock) && await hostLock.TryAcquireAsync()))
                return;
            _terms.SetDue(host);
            if (!_membership.IsAlive || await _store.TakeAsync(host, _membership.Name, CancellationToken.None) is not { } epoch)
                return;
            FleetLog.Taken(_logger, host, epoch);
            sat = true;
            using var term = new HostTerm(hypervisor, epoch, () => _membership.IsAlive);
            // Also a term that begins in the moment of the stop.
            await using var stop = _stopping.Register(term.End);
            try
            {
                await _driver.BeginAsync(term, CancellationToken.None);
            }
            catch (Exception exception) when (exception is DbException or DbUpdateException)
            {
                FleetLog.NotTaken(_logger, exception, host);
                term.Lose();
            }
            seat.Term = term;
            _terms.SetNotDue(host);
            await TellAsync(host);
            var watched = WatchAsync(term, hostLock);
            await _driver.RunAsync(term);
            await watched;
            if (term.IsHeld)
            {
                await _store.GiveBackAsync(host, epoch, CancellationToken.None);
                await hostLock.DisposeAsync();
                await TellAsync(host);
            }
            else
                FleetLog.Lost(_logger, host);
        }
        catch (Exception exception)
        {
            // The database, in most cases. It is tried again.
            FleetLog.NotTaken(_logger, exception, host);
        }
        finally
        {
            _terms.SetNotDue(host);
            _seats.TryRemove(host, out _);
            // What could not be had is tried again at the next look, not at once.
            if (sat)
                _look.Release();
        }
    }

    private async Task TellAsync(string host)
    {
        try
        {
            await _store.TellAsync(host, CancellationToken.None);
        }
        catch (DbException)
        {
            // They look for themselves.
        }
    }

    /// <summary>Ends the term as soon as this replica may be taken for dead, and keeps the lock.</summary>
    private async Task WatchAsync(HostTerm term, FleetLock hostLock)
    {
        long? without = null;
        while (!term.Ending.IsCancellationRequested)
        {
            if (!term.IsHeld)
                return;
            if (hostLock.IsHeld)
                without = null;
            else
                try
                {
                    without ??= _time.GetTimestamp();
                    if (!await _store.IsOfAsync(term.Host, term.Epoch, term.Ending))
                        term.Lose();
                    else if (await hostLock.TryAcquireAsync())
                        FleetLog.LockedAgain(_logger, term.Host);
                    else if (_time.GetElapsedTime(without.Value) > OwnSession)
                        await _store.EndSessionAsync(hostLock.Key, term.Ending);
                }
                catch (Exception exception) when (exception is DbException or OperationCanceledException)
                {
                    // The clock decides, and what it allows is not long.
                }
            await Task.WhenAny(Task.Delay(Glance, _time, term.Ending));
        }
    }

    /// <returns>Whether the lock is free now.</returns>
    private async Task<bool> EndDeadSessionAsync(string host, FleetLock hostLock)
    {
        // Its replica must be dead by the database's clock, or this one's own predecessor.
        var view = _membership.View;
        if (view.Leases.GetValueOrDefault(host)?.Driver is not { } driver || (driver != _membership.Name && view.Find(driver) is not null))
            return false;
        FleetLog.SessionEnded(_logger, host);
        await _store.EndSessionAsync(hostLock.Key, CancellationToken.None);
        // Its backend takes a moment to go.
        await Task.Delay(Glance, _time, _stopping);
        return true;
    }

    private sealed class Claim(Func<Task> release) : IDisposable
    {
        public void Dispose() => _ = ReleaseAsync();

        private async Task ReleaseAsync()
        {
            try
            {
                await release();
            }
            catch (DbException)
            {
                // It is forgotten with this replica at the latest.
            }
        }
    }
}
