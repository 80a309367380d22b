using System.Collections.Concurrent;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Streaming.Profiles;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>
/// The registry of stream jobs: admits them, has each driven in the <see cref="HostTerm"/> of its host, finds them for whoever asks.
/// Knows neither HTTP nor SignalR.
/// </summary>
public sealed class StreamManager(
    HostTerms terms,
    StreamStore store,
    FindProfile findProfile,
    SectorStepper stepper,
    StreamLimits limits,
    IOptions<StreamServiceOptions> options,
    TimeProvider time,
    ILogger<StreamManager> logger)
{
    /// <summary>What a request populates at the least where the format has no clusters.</summary>
    private const int DefaultCluster = 64 << 10;

    /// <summary>What ended so long before a term began is told again: the end of the term before may have cut the news short.</summary>
    private static readonly TimeSpan TellAgain = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<DiskAddress, StreamJob> _active = new();
    private readonly ConcurrentDictionary<DiskAddress, SemaphoreSlim> _finishing = new();
    private readonly ConcurrentDictionary<DiskAddress, TaskCompletionSource> _watchers = new();

    /// <summary>Every snapshot of every job, and whether its state is a new one. Handlers must not block.</summary>
    public event Action<StreamStatus, bool>? Published;

    /// <summary>Starts streaming a whole disk.</summary>
    /// <param name="idempotencyKey">The same key gets the stream that it began, should the first answer have been lost.</param>
    /// <exception cref="StreamRefusedException">A rule of <see cref="StreamAdmission"/> is broken.</exception>
    /// <exception cref="HostUnreachableException">This service does not drive the host.</exception>
    public async Task<StreamStatus> StartAsync(IHypervisor hypervisor, DomainInfo domain, DiskInfo disk, StreamSpec spec, string? idempotencyKey, CancellationToken cancellationToken)
    {
        var address = new DiskAddress(domain.Host, domain.Id, disk.Target);
        using var span = Spans.Begin("stream.start")?.Of(address);
        if (idempotencyKey is not null && await store.FindByIdempotencyKeyAsync(idempotencyKey, cancellationToken) is { } begun)
            return await FindAsync(begun, cancellationToken);

        var term = terms.Get(domain.Host);
        spec = spec with { Offline = !domain.IsActive };
        var streamActive = IsStreamed(address);
        var blockJob = streamActive || !domain.IsActive ? null : await hypervisor.FindBlockJobAsync(domain.Id, disk.Target, cancellationToken);
        StreamAdmission.Check(domain, disk, spec.Base, streamActive, blockJob);

        // Generations of a disk go on rising from one stream to the next, so that a long-poll never waits for the past.
        var generation = (await store.FindLatestAsync(address, cancellationToken))?.Generation ?? 0;
        var now = time.GetUtcNow();
        var status = new StreamStatus(Guid.CreateVersion7(now), address, domain.Name, disk.Size, StreamMode.Full, spec, spec.Engine ?? StreamEngine.Pipelined, EngineReason: null, StreamState.Queued,
            BytesStreamed: 0, BytesDurable: 0, BytesRemaining: null, BytesPerSecond: 0, Reason: null, Error: null,
            CreatedAt: now, StartedAt: null, UpdatedAt: now, FinishedAt: null, generation + 1)
        {
            Labels = LabelSet.Of(domain.Labels),
            TraceParent = span?.Id,
        };
        var job = NewJob(status, disk.ClusterSize ?? DefaultCluster, term);
        if (!TryActivate(address, job))
            StreamAdmission.Check(domain, disk, spec.Base, streamActive: true, blockJob);
        try
        {
            await RecordAsync(status, idempotencyKey, term);
        }
        catch
        {
            _active.TryRemove(KeyValuePair.Create(address, job));
            throw;
        }
        new StreamMeters(address.Host).Entered(status.State);
        Publish(term, status, stateChanged: true);
        // Where the term ends just now, the next one finds it on record.
        if (!term.TryRun(ending => DriveAsync(job, ending)))
            _active.TryRemove(KeyValuePair.Create(address, job));
        return status;
    }

    /// <summary>Streams one unit now. Once nothing is left on the whole disk, drops the backing link.</summary>
    /// <exception cref="StreamRefusedException">A rule of <see cref="StreamAdmission"/> is broken.</exception>
    public async Task<StepResult> StepAsync(IHypervisor hypervisor, DomainInfo domain, DiskInfo disk, string? @base, long offset, long? length, CancellationToken cancellationToken)
    {
        var address = new DiskAddress(domain.Host, domain.Id, disk.Target);
        // A caller whose last answer was lost asks again, and is told again that it has arrived.
        if (domain.CanOpen(disk) && disk.BackingChain.Count == 0 && @base is null
            && await store.FindLatestAsync(address, cancellationToken) is { Mode: StreamMode.Single, State: StreamState.Completed } done)
            return new StepResult(done.Size, done.Size, Populated: 0, Remaining: false);
        StreamAdmission.Check(domain, disk, @base, streamActive: false, blockJob: null);

        var depth = disk.DepthOf(@base)!.Value;
        var step = await stepper.StepAsync(hypervisor, address, disk, depth, offset, length ?? disk.ClusterSize ?? DefaultCluster, cancellationToken);
        if (!step.Remaining)
            await FinishSinglesAsync(hypervisor, domain, disk, address, @base, depth, cancellationToken);
        return step;
    }

    /// <summary>The present snapshot of a disk's newest stream; null where it was never streamed.</summary>
    public async Task<StreamStatus?> FindLatestAsync(DiskAddress disk, CancellationToken cancellationToken) =>
        _active.TryGetValue(disk, out var job) ? job.Status : await store.FindLatestAsync(disk, cancellationToken);

    /// <summary>The present snapshot of a stream.</summary>
    /// <exception cref="StreamNotFoundException">No stream has that id.</exception>
    public async Task<StreamStatus> FindAsync(Guid streamId, CancellationToken cancellationToken)
    {
        var status = await store.FindAsync(streamId, cancellationToken)
            ?? throw new StreamNotFoundException($"There is no stream {streamId}.");
        return Live(status);
    }

    /// <summary>The present snapshots of those of the streams that there are.</summary>
    public async Task<IReadOnlyList<StreamStatus>> FindAllAsync(IReadOnlyCollection<Guid> streams, CancellationToken cancellationToken) =>
        [.. (await store.FindAllAsync(streams, cancellationToken)).Select(Live)];

    /// <summary>A page of streams.</summary>
    public async Task<IReadOnlyList<StreamListing>> ListAsync(StreamFilter filter, StreamOrdering ordering, StreamPosition? after, int limit, CancellationToken cancellationToken) =>
        [.. (await store.ListAsync(filter, ordering, after, limit, cancellationToken)).Select(listed => listed with { Status = Live(listed.Status) })];

    /// <summary>What streams add up to, by host and state.</summary>
    public Task<IReadOnlyList<StreamSum>> SumAsync(StreamFilter filter, CancellationToken cancellationToken) => store.SumAsync(filter, cancellationToken);

    /// <summary>How many wait for something, or failed with nothing done about their disk since.</summary>
    public async Task<int> CountAttentionAsync(StreamFilter filter, CancellationToken cancellationToken) =>
        await store.CountAsync(filter with { States = [StreamState.Waiting, StreamState.Failed], LatestOnly = true }, cancellationToken);

    /// <summary>What a disk's stream has brought in and no flush has covered yet, as offsets and lengths; null where none is at work that could tell.</summary>
    public IReadOnlyList<(long Offset, long Length)>? FindUnflushed(DiskAddress disk) => FindActive(disk)?.Unflushed;

    /// <summary>The present snapshots of all streams that are not over.</summary>
    public IReadOnlyList<StreamStatus> ListActive() => [.. _active.Values.Select(job => job.Status).OrderBy(status => status.CreatedAt)];

    /// <summary>Whether the disk has a stream that is not over.</summary>
    public bool IsStreamed(DiskAddress disk) => FindActive(disk) is not null;

    /// <summary>The newest stream of a disk, by its domain's UUID or name and its target, without asking the host; null where there is none, or several domains are meant.</summary>
    /// <param name="sees">The streams that exist for whoever asks.</param>
    public async Task<StreamStatus?> FindLatestAsync(string domain, string target, Func<StreamStatus, bool> sees, CancellationToken cancellationToken)
    {
        var latest = await store.ListLatestAsync(Guid.TryParse(domain, out var id) ? id : null, domain, target, cancellationToken);
        return latest.Where(sees).Take(2).ToList() is [var only] ? Live(only) : null;
    }

    /// <summary>Changes the disk's stream while it runs.</summary>
    /// <exception cref="StreamNotFoundException">The disk has no stream that is not over.</exception>
    public Task<StreamStatus> ChangeAsync(DiskAddress disk, StreamChange change, CancellationToken cancellationToken) =>
        ActiveJob(disk).ChangeAsync(change, cancellationToken);

    /// <summary>Ends the disk's stream. What was populated stays.</summary>
    /// <exception cref="StreamNotFoundException">The disk has no stream that is not over.</exception>
    public Task<StreamStatus> CancelAsync(DiskAddress disk, CancellationToken cancellationToken) =>
        ActiveJob(disk).CancelAsync(cancellationToken);

    /// <summary>Waits until the disk's stream has reached a generation, or until the time is over.</summary>
    public async Task<StreamStatus?> WaitForGenerationAsync(DiskAddress disk, long generation, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(timeout);
        while (true)
        {
            // The signal is taken before the look, so that no snapshot slips between the two.
            var signal = _watchers.GetOrAdd(disk, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            terms.Get(disk.Host);
            var status = await FindLatestAsync(disk, cancellationToken);
            if (status is not null && status.Generation >= generation)
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

    /// <summary>Takes up every stream of a host that the term before left unfinished, and tells again what ended at its end.</summary>
    internal async Task TakeUpAsync(HostTerm term, CancellationToken cancellationToken)
    {
        var left = await store.TakeUpAsync(term.Host, term.Epoch, cancellationToken);
        foreach (var status in left)
        {
            // What it was when the other service ended is no rate any more.
            var job = NewJob(status with { BytesPerSecond = 0 }, DefaultCluster, term);
            if (_active.TryAdd(status.Disk, job))
                term.TryRun(ending => DriveAsync(job, ending));
            Publish(term, status, stateChanged: true);
        }
        foreach (var status in await store.ListSinceAsync(term.Host, time.GetUtcNow() - TellAgain, cancellationToken))
            if (status.IsFinal)
                Publish(term, status, stateChanged: true);
        if (left.Count > 0)
            StreamLog.TakenUp(logger, left.Count, term.Host);
    }

    /// <summary>Forgets the jobs of a term that has ended; whoever waits for one is told that nobody drives the host.</summary>
    internal void Leave(HostTerm term)
    {
        foreach (var (disk, job) in _active)
            if (job.Term == term)
                _active.TryRemove(KeyValuePair.Create(disk, job));
        foreach (var disk in _watchers.Keys.Where(disk => disk.Host == term.Host))
            Signal(disk);
    }

    /// <summary>Fails the streams of hosts that are not configured any more.</summary>
    internal async Task FailElsewhereAsync(IReadOnlyCollection<string> configured, CancellationToken cancellationToken)
    {
        foreach (var status in await store.ListActiveElsewhereAsync(configured, cancellationToken))
            await store.UpdateAsync(status with
            {
                State = StreamState.Failed,
                Error = new StreamError("host-not-found", $"Host '{status.Disk.Host}' is not configured any more."),
                UpdatedAt = time.GetUtcNow(),
                FinishedAt = time.GetUtcNow(),
            }, epoch: 0, cancellationToken);
    }

    /// <summary>Tells the jobs of a domain, or of all domains of a host, that it changed.</summary>
    internal void Wake(string host, Guid? domain)
    {
        foreach (var job in _active.Values)
            if (job.Status.Disk.Host == host && (domain is null || job.Status.Disk.Domain == domain))
                job.Wake();
    }

    /// <summary>Puts all jobs on record again: the database was lost.</summary>
    internal Task RecordAllAsync() => Task.WhenAll(_active.Values.Select(job => job.RecordAgainAsync()));

    private async Task DriveAsync(StreamJob job, CancellationToken ending)
    {
        try
        {
            await job.RunAsync(ending);
            await job.WaitUntilRecordedAsync(ending);
            _active.TryRemove(KeyValuePair.Create(job.Status.Disk, job));
            // Whoever looked at the job in between sees its last state from the store from now on.
            Signal(job.Status.Disk);
        }
        catch (OperationCanceledException) when (ending.IsCancellationRequested)
        {
            // Stays on record as it is.
        }
        catch (Exception exception)
        {
            // A bug: the job is left on record, and the next term takes it up.
            StreamLog.JobFault(logger, exception);
        }
    }

    private async Task RecordAsync(StreamStatus status, string? idempotencyKey, HostTerm term)
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

    private StreamJob NewJob(StreamStatus status, int clusterSize, HostTerm term) =>
        new(status, clusterSize, term, store, findProfile, limits, options.Value.Streaming, time, logger, (status, stateChanged) => Publish(term, status, stateChanged));

    /// <summary>The disk's job that is not over. One that is over may still be here for a moment, until it is retired.</summary>
    private StreamJob? FindActive(DiskAddress disk) => _active.TryGetValue(disk, out var job) && !job.Status.IsFinal ? job : null;

    private bool TryActivate(DiskAddress disk, StreamJob job) =>
        _active.TryAdd(disk, job)
        || (_active.TryGetValue(disk, out var before) && before.Status.IsFinal && _active.TryUpdate(disk, job, before))
        || (!_active.ContainsKey(disk) && _active.TryAdd(disk, job));

    private StreamJob ActiveJob(DiskAddress disk) =>
        FindActive(disk)
            ?? throw new StreamNotFoundException($"Disk '{disk.Target}' of domain {disk.Domain} has no stream that is not over.");

    private StreamStatus Live(StreamStatus status) =>
        _active.TryGetValue(status.Disk, out var job) && job.Status.StreamId == status.StreamId ? job.Status : status;

    private void Publish(HostTerm term, StreamStatus status, bool stateChanged)
    {
        // What a driver says that has been asleep is from before.
        if (!term.IsHeld)
            return;
        Published?.Invoke(status, stateChanged);
        Signal(status.Disk);
    }

    private void Signal(DiskAddress disk)
    {
        if (_watchers.TryRemove(disk, out var watchers))
            watchers.TrySetResult();
    }

    private async Task FinishSinglesAsync(IHypervisor hypervisor, DomainInfo domain, DiskInfo disk, DiskAddress address, string? @base, int depth, CancellationToken cancellationToken)
    {
        // A full stream of the same disk is at its end too: it drops the link itself.
        if (_active.TryGetValue(address, out var full))
        {
            await full.EndAsync(cancellationToken);
            if (full.Status.State == StreamState.Completed)
                return;
        }
        var term = terms.Get(address.Host);
        var gate = _finishing.GetOrAdd(address, _ => new SemaphoreSlim(1, 1));
        await gate.WaitAsync(cancellationToken);
        try
        {
            var latest = await store.FindLatestAsync(address, cancellationToken);
            var now = time.GetUtcNow();
            var export = await stepper.PrepareEndAsync(hypervisor, address, depth, cancellationToken);
            await DiskFinalizer.FinishAsync(hypervisor, address, @base, export, flushed: () => { }, time, cancellationToken);
            var spec = new StreamSpec(@base, Bandwidth: 0, StreamPolicy.Fixed, StreamPriority.Normal, StreamOnError.Report, StreamEngine.Pipelined, StreamOrder.Sequential);
            var done = time.GetUtcNow();
            var streamed = stepper.BytesPopulated(address);
            var status = new StreamStatus(Guid.CreateVersion7(done), address, domain.Name, disk.Size, StreamMode.Single, spec, StreamEngine.Pipelined, EngineReason: null, StreamState.Completed,
                streamed, BytesDurable: streamed, BytesRemaining: 0, BytesPerSecond: 0, Reason: null, Error: null,
                CreatedAt: now, StartedAt: now, UpdatedAt: done, FinishedAt: done, (latest?.Generation ?? 0) + 1)
            {
                Labels = LabelSet.Of(domain.Labels),
            };
            await RecordAsync(status, idempotencyKey: null, term);
            // Its image, where that was opened here, is free before the caller hears of it.
            if (!domain.IsActive)
                await stepper.GiveBackAsync(address);
            Publish(term, status, stateChanged: true);
        }
        finally
        {
            gate.Release();
        }
    }
}
