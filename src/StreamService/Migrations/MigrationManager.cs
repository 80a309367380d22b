using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Migrations;

/// <summary>
/// The registry of migrations: admits them, hands them to <see cref="MigrationWorker"/>, finds them for whoever asks. Knows neither
/// HTTP nor SignalR.
/// </summary>
public sealed class MigrationManager(
    HostDirectory hosts,
    MigrationPreflight preflight,
    MigrationStore store,
    DeploymentStore deployments,
    StreamManager streams,
    SourceExports exports,
    IOptions<StreamServiceOptions> options,
    TimeProvider time,
    ILogger<MigrationManager> logger)
{
    private readonly ConcurrentDictionary<Guid, MigrationJob> _active = new();
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource> _watchers = new();
    private readonly ConcurrentDictionary<Guid, bool> _admitting = new();
    private readonly Channel<MigrationJob> _started = Channel.CreateUnbounded<MigrationJob>();

    /// <summary>Every picture of every migration, and whether it is on record: else it only tells progress. Handlers must not block.</summary>
    public event Action<MigrationStatus, bool>? Published;

    /// <summary>Jobs that wait to be driven.</summary>
    internal ChannelReader<MigrationJob> Started => _started.Reader;

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
            var status = await preflight.CheckAsync(hypervisor, domain, destination, spec, cancellationToken);
            await store.AddAsync(status, idempotencyKey, CancellationToken.None);
            MigrationLog.Begun(logger, status.DomainName, status.Source, spec.Destination, status.MigrationId);
            Drive(status);
            Publish(status, recorded: true);
            return status;
        }
        finally
        {
            _admitting.TryRemove(domain.Id, out _);
        }
    }

    /// <summary>The domain's migration that is not over; null where there is none.</summary>
    public MigrationStatus? FindActive(Guid domain) =>
        _active.Values.Select(job => job.Status).FirstOrDefault(status => status.Domain == domain && !status.IsFinal);

    /// <summary>The same, of a domain by its UUID or name.</summary>
    public MigrationStatus? FindActive(string idOrName) =>
        _active.Values.Select(job => job.Status)
            .FirstOrDefault(status => !status.IsFinal && (Guid.TryParse(idOrName, out var id) ? status.Domain == id : status.DomainName == idOrName));

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
        var used = (await source.ListDomainsAsync(cancellationToken))
            .SelectMany(domain => domain.Disks.SelectMany(disk => disk.BackingChain.Select(image => image.Source).Append(disk.Source).Select(file => (domain.Name, File: file))))
            .FirstOrDefault(use => status.LeftOnSource.Contains(use.File));
        if (used.File is not null)
            throw new MigrationPastException($"'{used.File}' is used by domain '{used.Name}' on {status.Source}.");
        foreach (var file in status.LeftOnSource)
            File.Delete(file);
        var next = status with { LeftOnSource = [], UpdatedAt = time.GetUtcNow(), Generation = status.Generation + 1 };
        await store.UpdateAsync(next, CancellationToken.None);
        Publish(next, recorded: true);
        return next;
    }

    /// <summary>Takes up every migration that a former run of the service left unfinished.</summary>
    public async Task TakeUpAsync(CancellationToken cancellationToken)
    {
        var left = await store.ListActiveAsync(cancellationToken);
        foreach (var status in left)
        {
            if (hosts.Find(status.Source) is IMigrationHost && hosts.Find(status.Spec.Destination) is IMigrationHost)
            {
                Drive(status);
                continue;
            }
            await store.UpdateAsync(status with
            {
                State = MigrationState.Failed,
                Error = new MigrationError("host-not-found", $"{status.Source} or {status.Spec.Destination} is not configured any more. What step {status.Step} did is as it was left."),
                UpdatedAt = time.GetUtcNow(),
                FinishedAt = time.GetUtcNow(),
                Generation = status.Generation + 1,
            }, cancellationToken);
        }
        if (left.Count > 0)
            MigrationLog.TakenUp(logger, left.Count);
    }

    /// <summary>Puts all migrations that are not over on record again: the database was lost.</summary>
    internal async Task RecordAllAsync(CancellationToken cancellationToken)
    {
        foreach (var job in _active.Values)
            await store.UpdateAsync(job.Status, cancellationToken);
    }

    /// <summary>Called when a job is not driven any more because it is over.</summary>
    internal async Task RetireAsync(MigrationJob job)
    {
        // The domain is not on this host any more, and its overlay is the migration's to delete.
        if (job.Status.State == MigrationState.Completed)
            await deployments.RemoveAsync(job.Status.Domain, CancellationToken.None);
        _active.TryRemove(job.Status.MigrationId, out _);
        Signal(job.Status.MigrationId);
        job.Dispose();
    }

    private void Drive(MigrationStatus status)
    {
        var job = new MigrationJob(status, (IMigrationHost)hosts.Find(status.Source)!, (IMigrationHost)hosts.Find(status.Spec.Destination)!,
            streams, store, exports, options, time, logger, Publish);
        if (_active.TryAdd(status.MigrationId, job))
            _started.Writer.TryWrite(job);
    }

    private MigrationStatus Live(MigrationStatus status) => _active.TryGetValue(status.MigrationId, out var job) ? job.Status : status;

    private void Publish(MigrationStatus status, bool recorded)
    {
        Published?.Invoke(status, recorded);
        Signal(status.MigrationId);
    }

    private void Signal(Guid migrationId)
    {
        if (_watchers.TryRemove(migrationId, out var watchers))
            watchers.TrySetResult();
    }
}
