using System.Collections.Concurrent;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Migrations;

/// <summary>
/// The registry of migrations: admits them, has each driven in the <see cref="HostTerm"/> of the host that it leaves, finds them for
/// whoever asks. Knows neither HTTP nor SignalR.
/// </summary>
public sealed class MigrationManager(
    HostDirectory hosts,
    HostTerms terms,
    ClaimHost claim,
    MigrationPreflight preflight,
    MigrationStore store,
    DeploymentStore deployments,
    StreamManager streams,
    SourceExports exports,
    IOptions<StreamServiceOptions> options,
    TimeProvider time,
    ILogger<MigrationManager> logger)
{
    private static readonly TimeSpan AfterFault = TimeSpan.FromSeconds(5);

    /// <summary>How far a term's first generation is ahead of the last on record: progress is shown without a record.</summary>
    private const long GenerationGap = 1 << 20;

    private readonly ConcurrentDictionary<Guid, MigrationJob> _active = new();
    private readonly ConcurrentDictionary<Guid, MigrationStatus> _resting = new();
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource> _watchers = new();
    private readonly ConcurrentDictionary<Guid, bool> _admitting = new();

    /// <summary>Every picture of every migration, and whether it is on record: else it only tells progress. Handlers must not block.</summary>
    public event Action<MigrationStatus, bool>? Published;

    /// <summary>Begins a migration, if nothing stands in its way.</summary>
    /// <param name="idempotencyKey">The same key gets the migration that it began, should the first answer have been lost.</param>
    /// <exception cref="MigrationRefusedException">Something does; nothing was changed.</exception>
    /// <exception cref="MigrationActiveException">The domain is being migrated already.</exception>
    /// <exception cref="HostNotFoundException">There is no such destination.</exception>
    /// <exception cref="StreamRefusedException">A disk is being streamed, or a block job is at work on it.</exception>
    public async Task<MigrationStatus> StartAsync(string idOrName, MigrationSpec spec, string? idempotencyKey, CancellationToken cancellationToken)
    {
        if (idempotencyKey is not null && await store.FindByIdempotencyKeyAsync(idempotencyKey, cancellationToken) is { } begun)
            return Live(begun);
        var destination = hosts.Find(spec.Destination) ?? throw new HostNotFoundException(spec.Destination);
        var (hypervisor, domain) = await hosts.FindDomainAsync(idOrName, cancellationToken);
        if (FindActive(domain.Id) is { } active)
            throw new MigrationActiveException(active);
        if (!_admitting.TryAdd(domain.Id, true))
            throw new MigrationRefusedException(new Dictionary<string, string[]> { ["domain"] = [$"Another request to migrate domain '{domain.Name}' is being looked at."] });
        try
        {
            var term = terms.Get(domain.Host);
            using var claimed = await claim(spec.Destination, cancellationToken);
            var status = await preflight.CheckAsync(hypervisor, domain, destination, spec, cancellationToken);
            await RecordAsync(status, idempotencyKey, term);
            MigrationLog.Begun(logger, status.DomainName, status.Source, spec.Destination, status.MigrationId);
            Drive(status, term);
            Publish(term, status, recorded: true);
            return status;
        }
        finally
        {
            _admitting.TryRemove(domain.Id, out _);
        }
    }

    /// <summary>The domain's migration that is not over; null where there is none.</summary>
    public MigrationStatus? FindActive(Guid domain) => AllActive().FirstOrDefault(status => status.Domain == domain && !status.IsFinal);

    /// <summary>The same, of a domain by its UUID or name.</summary>
    public MigrationStatus? FindActive(string idOrName) =>
        AllActive().FirstOrDefault(status => !status.IsFinal && (Guid.TryParse(idOrName, out var id) ? status.Domain == id : status.DomainName == idOrName));

    /// <summary>The present picture of a migration.</summary>
    /// <exception cref="MigrationNotFoundException">No migration has that id.</exception>
    public async Task<MigrationStatus> FindAsync(Guid migrationId, CancellationToken cancellationToken) =>
        _active.TryGetValue(migrationId, out var job) ? job.Status
            : await store.FindAsync(migrationId, cancellationToken) ?? throw new MigrationNotFoundException(migrationId.ToString());

    /// <summary>A page of migrations, the newest first.</summary>
    public async Task<IReadOnlyList<MigrationStatus>> ListAsync(MigrationFilter filter, PagePosition? after, int limit, CancellationToken cancellationToken) =>
        [.. (await store.ListAsync(filter, after, limit, cancellationToken)).Select(Live)];

    /// <summary>The present pictures of all migrations that are not over.</summary>
    public IReadOnlyList<MigrationStatus> ListActive() => [.. _active.Values.Select(job => job.Status)];

    /// <summary>Waits until a migration has reached a generation, or until the time is over.</summary>
    public async Task<MigrationStatus> WaitForGenerationAsync(Guid migrationId, long generation, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(timeout);
        while (true)
        {
            // The signal is taken before the look, so that no picture slips between the two.
            var signal = _watchers.GetOrAdd(migrationId, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            var status = await FindAsync(migrationId, cancellationToken);
            if (status.Generation >= generation || status.IsFinal)
                return status;
            try
            {
                await signal.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                return status;
            }
        }
    }

    /// <summary>Has a migration undone.</summary>
    /// <exception cref="MigrationPastException">The switch is past, or it is over.</exception>
    /// <exception cref="MigrationNotFoundException">No migration has that id.</exception>
    public async Task<MigrationStatus> CancelAsync(Guid migrationId, CancellationToken cancellationToken)
    {
        try
        {
            if (_active.TryGetValue(migrationId, out var job))
                return await job.CancelAsync();
        }
        catch (ObjectDisposedException)
        {
            // It came to its end just now.
        }
        throw new MigrationPastException($"The migration is over: {(await FindAsync(migrationId, cancellationToken)).State.ToString().ToLowerInvariant()}.");
    }

    /// <summary>Deletes what a completed migration left on its source: the layers that the domain had there.</summary>
    /// <exception cref="MigrationPastException">It is not completed, or a domain of the source uses one of the files.</exception>
    public async Task<MigrationStatus> RemoveLeftAsync(Guid migrationId, CancellationToken cancellationToken)
    {
        var status = await FindAsync(migrationId, cancellationToken);
        if (status.State != MigrationState.Completed)
            throw new MigrationPastException("Files on the source can be deleted once the migration is completed.");
        var source = hosts.Find(status.Source) ?? throw new HostNotFoundException(status.Source);
        var term = terms.Get(status.Source);
        if (source is not IMigrationHost { IsLocal: true } && term.Epoch > 0)
            throw new HostUnreachableException(status.Source, "The replica that drives it does not run on its machine, where the files are.");
        var used = (await source.ListDomainsAsync(cancellationToken))
            .SelectMany(domain => domain.Disks.SelectMany(disk => disk.BackingChain.Select(image => image.Source).Append(disk.Source).Select(file => (domain.Name, File: file))))
            .FirstOrDefault(use => status.LeftOnSource.Contains(use.File));
        if (used.File is not null)
            throw new MigrationPastException($"'{used.File}' is used by domain '{used.Name}' on {status.Source}.");
        foreach (var file in status.LeftOnSource)
            File.Delete(file);
        var next = status with { LeftOnSource = [], UpdatedAt = time.GetUtcNow(), Generation = status.Generation + 1 };
        await store.ForgetLeftAsync(next, CancellationToken.None);
        Publish(term, next, recorded: true);
        return next;
    }

    /// <summary>Takes up every migration from a host that the term before left unfinished.</summary>
    internal async Task TakeUpAsync(HostTerm term, CancellationToken cancellationToken)
    {
        var left = await store.TakeUpAsync(term.Host, term.Epoch, cancellationToken);
        foreach (var status in left.Select(status => status with { Generation = status.Generation + GenerationGap }))
        {
            // Exports are processes and files of the host's own machine: where there are several replicas it rests until the one there has the host again.
            if ((term.Epoch == 0 || term.Hypervisor is IMigrationHost { IsLocal: true }) && hosts.Find(status.Spec.Destination) is IMigrationHost)
                Drive(status, term);
            else
                _resting[status.MigrationId] = status;
        }
        if (left.Count > 0)
            MigrationLog.TakenUp(logger, left.Count, term.Host);
    }

    /// <summary>Forgets the migrations of a term that has ended.</summary>
    internal void Leave(HostTerm term)
    {
        foreach (var (id, job) in _active)
            if (job.Term == term && _active.TryRemove(id, out _))
            {
                Signal(id);
                job.Dispose();
            }
        foreach (var (id, status) in _resting)
            if (status.Source == term.Host)
                _resting.TryRemove(id, out _);
    }

    /// <summary>Fails the migrations of hosts that are not configured any more.</summary>
    internal async Task FailElsewhereAsync(CancellationToken cancellationToken)
    {
        foreach (var status in await store.ListActiveAsync(cancellationToken))
            if (hosts.Find(status.Source) is not IMigrationHost || hosts.Find(status.Spec.Destination) is not IMigrationHost)
                await store.UpdateAsync(status with
                {
                    State = MigrationState.Failed,
                    Error = new MigrationError("host-not-found", $"{status.Source} or {status.Spec.Destination} is not configured any more. What step {status.Step} did is as it was left."),
                    UpdatedAt = time.GetUtcNow(),
                    FinishedAt = time.GetUtcNow(),
                    Generation = status.Generation + 1,
                }, epoch: 0, cancellationToken);
    }

    /// <summary>Puts all migrations that are not over on record again: the database was lost.</summary>
    internal async Task RecordAllAsync(CancellationToken cancellationToken)
    {
        foreach (var job in _active.Values)
            await store.UpdateAsync(job.Status, job.Term.Epoch, cancellationToken);
    }

    private async Task DriveAsync(MigrationJob job, CancellationToken ending)
    {
        while (!ending.IsCancellationRequested)
        {
            try
            {
                await job.RunAsync(ending);
                await RetireAsync(job);
                return;
            }
            catch (OperationCanceledException) when (ending.IsCancellationRequested)
            {
                // Stays on record as it is; the exports go on without us.
                return;
            }
            catch (Exception exception)
            {
                // A domain may be between two hosts: it is never dropped. The database may be away, say.
                MigrationLog.JobFault(logger, exception);
                await Task.Delay(AfterFault, time, ending).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }
        }
    }

    private async Task RecordAsync(MigrationStatus status, string? idempotencyKey, HostTerm term)
    {
        try
        {
            await store.AddAsync(status, idempotencyKey, term.Epoch, CancellationToken.None);
        }
        catch (LeaseLostException)
        {
            term.Lose();
            throw new HostUnreachableException(term.Host, HostTerms.NoDriver);
        }
    }

    /// <summary>Called when a job is not driven any more because it is over.</summary>
    private async Task RetireAsync(MigrationJob job)
    {
        // The domain is not on this host any more, and its overlay is the migration's to delete.
        if (job.Status.State == MigrationState.Completed)
            await deployments.RemoveAsync(job.Status.Domain, CancellationToken.None);
        _active.TryRemove(job.Status.MigrationId, out _);
        Signal(job.Status.MigrationId);
        job.Dispose();
    }

    private void Drive(MigrationStatus status, HostTerm term)
    {
        var job = new MigrationJob(status, term, (IMigrationHost)hosts.Find(status.Spec.Destination)!,
            streams, store, exports, options, time, logger, (status, recorded) => Publish(term, status, recorded));
        if (_active.TryAdd(status.MigrationId, job))
            term.TryRun(ending => DriveAsync(job, ending));
    }

    private IEnumerable<MigrationStatus> AllActive() => _active.Values.Select(job => job.Status).Concat(_resting.Values);

    private MigrationStatus Live(MigrationStatus status) => _active.TryGetValue(status.MigrationId, out var job) ? job.Status : status;

    private void Publish(HostTerm term, MigrationStatus status, bool recorded)
    {
        if (!term.IsHeld)
            return;
        Published?.Invoke(status, recorded);
        Signal(status.MigrationId);
    }

    private void Signal(Guid migrationId)
    {
        if (_watchers.TryRemove(migrationId, out var watchers))
            watchers.TrySetResult();
    }
}
