using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Streaming.Profiles;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>
/// One stream job's state machine. One task, <see cref="RunAsync"/>, owns the state; everybody else posts requests to it
/// and reads immutable snapshots.
/// </summary>
/// <remarks>
/// <code>
///              ┌────────────── pause ───────────────┐
///              │                                    ▼
///  queued ─► running ─► finalizing ─► completed   paused
///              │ ▲          │                       │
///     fault or │ │ retry    │ fault                 │
///        stall ▼ │          ▼                       │
///             waiting ◄─────┘ ◄────── resume ───────┘ (to running)
///
///  every state but the last ones: cancel ─► cancelled; a fault that no retry mends, or onError=report ─► failed
/// </code>
/// A run needs a turn: where the caps of <see cref="StreamTurns"/> leave no room, the job goes back to queued before it, with its
/// place in line as the reason. A state is on record before anybody sees it. A service that stops leaves the state as it is, and the next one takes the
/// job up from the image's own allocation map.
/// </remarks>
public sealed class StreamJob
{
    private readonly HostTerm _term;
    private readonly IHypervisor _hypervisor;
    private readonly StreamingOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Action<StreamStatus, bool> _publish;
    private readonly StreamLimits _limits;
    private readonly FindProfile _findProfile;
    private readonly JobMailbox _mailbox = new();
    private readonly StreamPace _pace;
    private readonly int _clusterSize;
    private readonly JobProgress _progress;
    private readonly JobRecord _record;
    private readonly StreamMeters _meters;

    private StreamStatus _status;
    private StreamTicket? _ticket;
    private IStreamRun? _run;
    private CancellationTokenSource? _runStop;
    private StreamState? _stalledIn;
    private bool _pauseAsked;
    private bool _cancelAsked;
    private bool _brokeOffAtEnd;
    private bool _domainChanged;
    private TaskCompletionSource _settled = NewSettled();

    /// <param name="status">Where it begins: queued, or as a former service left it.</param>
    /// <param name="clusterSize">Of the active layer, in bytes.</param>
    /// <param name="publish">Receives every snapshot, and whether its state is a new one. Must not block.</param>
    public StreamJob(StreamStatus status, int clusterSize, HostTerm term, StreamStore store, FindProfile findProfile, StreamLimits limits, StreamingOptions options,
        TimeProvider time, ILogger logger, Action<StreamStatus, bool> publish)
    {
        _status = status;
        _term = term;
        _hypervisor = term.Hypervisor;
        _findProfile = findProfile;
        _limits = limits;
        _options = options;
        _time = time;
        _logger = logger;
        _publish = publish;
        _clusterSize = clusterSize;
        _pace = new StreamPace(new SectorThrottle(status.Spec.Bandwidth, clusterSize, time));
        _progress = new JobProgress(status, time);
        _record = new JobRecord(store, term, time, logger);
        _meters = new StreamMeters(status.Disk.Host);
        _pauseAsked = status.State == StreamState.Paused;
    }

    /// <summary>In which it is driven.</summary>
    public HostTerm Term => _term;

    /// <summary>The present snapshot.</summary>
    public StreamStatus Status => Volatile.Read(ref _status);

    /// <summary>What it has brought in and no flush has covered yet; null where that is not known. From any thread.</summary>
    public IReadOnlyList<(long Offset, long Length)>? Unflushed => Volatile.Read(ref _run)?.Unflushed;

    /// <summary>Changes pace, policy, priority, or pauses and resumes; answers once that is in force.</summary>
    public Task<StreamStatus> ChangeAsync(StreamChange change, CancellationToken cancellationToken) =>
        AskAsync(() => ApplyAsync(change), change.Paused, cancellationToken);

    /// <summary>Ends the job; answers at once. The state ends as cancelled.</summary>
    public Task<StreamStatus> CancelAsync(CancellationToken cancellationToken) => AskAsync(() =>
    {
        _cancelAsked = true;
        return _runStop?.CancelAsync() ?? Task.CompletedTask;
    }, settle: null, cancellationToken);

    /// <summary>Returns when the job is over or a caller paused it.</summary>
    public async Task EndAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var settled = Volatile.Read(ref _settled).Task;
            if (Status.IsFinal || Status.State == StreamState.Paused)
                return;
            await settled.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Writes its record once more.</summary>
    public Task RecordAgainAsync() => _mailbox.PostAsync(() => _record.WriteAsync(_status));

    /// <summary>Returns when its last state is on record, however long the database is away: else the next service would begin anew.</summary>
    public Task WaitUntilRecordedAsync(CancellationToken stopping) => _record.CatchUpAsync(_status, stopping);

    /// <summary>A hint that the domain changed: a job that waits for it looks again at once, one that runs looks whether its disk is still there.</summary>
    public void Wake()
    {
        Volatile.Write(ref _domainChanged, true);
        _mailbox.Wake();
    }

    /// <summary>Drives the job until it is over, or until its term ends.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        using var scope = _logger.BeginScope(new Dictionary<string, object>
        {
            ["StreamId"] = Status.StreamId,
            ["Domain"] = Status.DomainName,
            ["Target"] = Status.Disk.Target,
        });
        using var span = Spans.BeginJob(Status);
        using var wakeAtStop = stopping.Register(_mailbox.Wake);
        try
        {
            for (var attempt = 1; !Status.IsFinal; attempt++)
            {
                if (_cancelAsked && await HasArrivedAsync(stopping))
                    // The link was gone before the request came: all that is left is the last flush.
                    _cancelAsked = false;
                if (_cancelAsked)
                {
                    await EnterAsync(StreamState.Cancelled);
                    return;
                }
                if (_pauseAsked)
                {
                    await EnterAsync(StreamState.Paused);
                    while (_pauseAsked && !_cancelAsked)
                    {
                        await _mailbox.ServeNextAsync();
                        stopping.ThrowIfCancellationRequested();
                    }
                    attempt = 0;
                    continue;
                }
                if (_status.Spec.NotBefore is { } notBefore && notBefore - _time.GetUtcNow() is var rest && rest > TimeSpan.Zero)
                {
                    await EnterAsync(StreamState.Queued, $"What the guest itself reads first is being learned until {notBefore:HH:mm:ss} UTC.");
                    await WaitAsync(rest, stopping);
                    attempt = 0;
                    continue;
                }
                var before = _status.BytesStreamed;
                var fault = await AttemptAsync(stopping);
                stopping.ThrowIfCancellationRequested();
                if (fault is null || _cancelAsked || _pauseAsked)
                    continue;
                if (_status.BytesStreamed > before)
                    attempt = 1;
                await HandleAsync(fault, attempt, stopping);
            }
        }
        finally
        {
            span?.SetTag("streamservice.state", Status.State).SetTag("streamservice.bytes", Status.BytesStreamed);
            if (Status.Error is { } error)
                span.Fail(error.Detail);
            // Whoever still asks something is answered with the last snapshot.
            _mailbox.Close();
            await _mailbox.ServeAsync();
        }
    }

    /// <summary>Whether a run that was broken off at its very end has dropped the backing link all the same.</summary>
    private async Task<bool> HasArrivedAsync(CancellationToken stopping)
    {
        if (!_brokeOffAtEnd)
            return false;
        _brokeOffAtEnd = false;
        try
        {
            return await DiskFinalizer.HasArrivedAsync(_hypervisor, _status.Disk, _status.Spec.Base, stopping);
        }
        catch (Exception exception) when (exception is HostUnreachableException or HypervisorException
            or DomainNotFoundException or DomainNotRunningException or DiskNotFoundException)
        {
            return false;
        }
    }

    /// <summary>Takes a place in line and, once it is its turn, runs. Returns what ended that early; null for success or a request.</summary>
    private async Task<Exception?> AttemptAsync(CancellationToken stopping)
    {
        using var stop = _runStop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        try
        {
            var finding = JobDomain.FindScopeAsync(_hypervisor, _status, stop.Token);
            await _mailbox.ServeUntilAsync(finding);
            var scope = await finding;
            using var ticket = _ticket = _limits.Turns.Join(scope, _status.Spec.Priority, _status.CreatedAt, _mailbox.Wake);
            while (!ticket.HasTurn)
            {
                if (_status.State != StreamState.Queued || _status.Reason is null)
                    await EnterAsync(StreamState.Queued, ticket.Reason);
                else if (ticket.Reason is { } moved && moved != _status.Reason)
                    Publish(_status with { Reason = moved }, stateChanged: false);
                await _mailbox.ServeNextAsync();
                stop.Token.ThrowIfCancellationRequested();
            }
            using var budgets = _pace.Budgets = _limits.Budgets.Enter(scope, _status.Spec.Priority, _clusterSize);
            return await RunOnceAsync(stop, stopping);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return null;
        }
        catch (Exception exception) when (exception is HostUnreachableException or HypervisorException
            or DomainNotFoundException or DomainNotRunningException or DiskNotFoundException)
        {
            return exception;
        }
        finally
        {
            _ticket = null;
            _pace.Budgets = null;
            _runStop = null;
        }
    }

    /// <summary>One run, attended to from beginning to end. Returns what ended it early; null for its success or a request.</summary>
    private async Task<Exception?> RunOnceAsync(CancellationTokenSource stop, CancellationToken stopping)
    {
        using var span = Spans.Begin("stream.run")?.SetTag("streamservice.engine", _status.Engine);
        _progress.Begin(_status);
        _stalledIn = null;
        if (_status.NextAttemptAt is not null)
            Publish(_status with { NextAttemptAt = null }, stateChanged: false);
        var run = _run = _status.Engine == StreamEngine.Native
            ? new NativeRun(_hypervisor, _status.Disk, _status.Spec, _options, _time)
            : new PipelinedRun(_hypervisor, _status.Disk, _status.Spec, _pace, _findProfile, _clusterSize, _options, _time);
        if (_status.State is not (StreamState.Waiting or StreamState.Finalizing))
            await EnterAsync(StreamState.Running);
        var running = run.RunAsync(() => _mailbox.PostAsync(() => EnterAsync(StreamState.Finalizing)), stop.Token);
        var unplugged = await AttendAsync(running, stop);
        try
        {
            await running;
            Settle();
            await EnterAsync(StreamState.Completed);
            return null;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            _brokeOffAtEnd = (_stalledIn ?? _status.State) == StreamState.Finalizing;
            Settle();
            if (stopping.IsCancellationRequested)
                await _record.WriteAsync(_status);
            return unplugged;
        }
        catch (ExportUnavailableException unavailable) when (run is PipelinedRun && _status.Spec.Engine is null)
        {
            StreamLog.EngineChanged(_logger, StreamEngine.Native, unavailable.Text);
            Publish(_status with { Engine = StreamEngine.Native, EngineReason = unavailable.Text }, stateChanged: false);
            return null;
        }
        catch (Exception exception)
        {
            span.Fail(StreamFaults.Describe(exception));
            Settle();
            return exception;
        }
        finally
        {
            _run = null;
        }
    }

    /// <summary>Serves the mailbox until <paramref name="until"/> ends, and publishes progress meanwhile. Stops a run whose disk was unplugged, and returns that.</summary>
    private async Task<DiskNotFoundException?> AttendAsync(Task until, CancellationTokenSource stop)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        var looking = Task.FromResult<DiskNotFoundException?>(null);
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / _options.ProgressPerSecond), _time);
        var tick = timer.WaitForNextTickAsync(CancellationToken.None).AsTask();
        while (!until.IsCompleted)
        {
            await Task.WhenAny(until, _mailbox.Arrival(), tick);
            await _mailbox.ServeAsync();
            if (tick.IsCompleted)
            {
                await TickAsync();
                tick = timer.WaitForNextTickAsync(CancellationToken.None).AsTask();
            }
            if (!looking.IsCompleted)
                continue;
            if (await looking is not null)
                await stop.CancelAsync();
            else if (Interlocked.Exchange(ref _domainChanged, false))
                looking = LookForDiskAsync(enough.Token);
        }
        await enough.CancelAsync();
        return await looking;
    }

    /// <summary>An export keeps its image open in QEMU, whatever becomes of the device: the run itself would not notice.</summary>
    private async Task<DiskNotFoundException?> LookForDiskAsync(CancellationToken cancellationToken)
    {
        try
        {
            await JobDomain.FindScopeAsync(_hypervisor, _status, cancellationToken);
            return null;
        }
        catch (DiskNotFoundException unplugged)
        {
            return unplugged;
        }
        catch (Exception exception) when (exception is OperationCanceledException or HostUnreachableException or HypervisorException
            or DomainNotFoundException or DomainNotRunningException)
        {
            // The run finds out itself.
            return null;
        }
    }

    private async Task TickAsync()
    {
        var stalled = _run!.StalledFor;
        var isStalled = stalled >= _options.StalledAfter;
        if (isStalled && _status.State is StreamState.Running or StreamState.Finalizing)
        {
            _stalledIn = _status.State;
            await EnterAsync(StreamState.Waiting, $"{(_run.WaitsFor is { } what ? $"QEMU has not answered for {stalled.TotalSeconds:0} s: {what}" : $"The source, or QEMU itself, has not answered for {stalled.TotalSeconds:0} s")}.");
        }
        else if (!isStalled && _status.State == StreamState.Waiting && (_stalledIn is not null || _run.BytesStreamed > 0))
        {
            await EnterAsync(_stalledIn ?? StreamState.Running);
            _stalledIn = null;
        }
        var next = WithProgress(_status);
        if (next == _status)
            return;
        Publish(next, stateChanged: false);
        if (_record.IsDue)
            await _record.WriteAsync(_status);
    }

    private async Task HandleAsync(Exception fault, int attempt, CancellationToken stopping)
    {
        if (StreamFaults.FindEnd(fault, _status.Spec.OnError) is { } error)
        {
            if (error.Code == StreamFaults.InternalError)
                StreamLog.JobFault(_logger, fault);
            await EnterAsync(StreamState.Failed, error: error);
            return;
        }
        var passing = StreamFaults.Passing(fault);
        _meters.Retried(passing.Code);
        var delay = _options.RetryDelayAfter(attempt);
        await EnterAsync(StreamState.Waiting, $"{StreamFaults.Describe(fault)} Attempt {attempt} failed; the next in {delay.TotalSeconds:0.#} s.",
            also: status => status with { Attempt = attempt, NextAttemptAt = _time.GetUtcNow() + delay, LastError = passing });
        await WaitAsync(delay, stopping);
    }

    /// <summary>Waits before a retry. Any request, and any hint that the domain changed, ends the wait.</summary>
    private async Task WaitAsync(TimeSpan delay, CancellationToken stopping)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        await Task.WhenAny(_mailbox.Arrival(), Task.Delay(delay, _time, enough.Token));
        await enough.CancelAsync();
        await _mailbox.ServeAsync();
        stopping.ThrowIfCancellationRequested();
    }

    private async Task ApplyAsync(StreamChange change)
    {
        var spec = _status.Spec with
        {
            Bandwidth = change.Bandwidth ?? _status.Spec.Bandwidth,
            Policy = change.Policy ?? _status.Spec.Policy,
            Priority = change.Priority ?? _status.Spec.Priority,
            TargetLatencyMs = change.TargetLatencyMs ?? _status.Spec.TargetLatencyMs,
            MinBandwidth = change.MinBandwidth ?? _status.Spec.MinBandwidth,
        };
        if (spec != _status.Spec)
        {
            _pace.Bandwidth = spec.Bandwidth;
            if (_pace.Budgets is { } budgets)
                budgets.Priority = spec.Priority;
            _run?.Change(spec);
            _ticket?.SetPriority(spec.Priority);
            Publish(WithProgress(_status) with { Spec = spec }, stateChanged: false);
            await _record.WriteAsync(_status);
        }
        // Once all is populated there is nothing left that could rest.
        if (change.Paused is not { } paused || _status.State == StreamState.Finalizing || _status.IsFinal)
            return;
        _pauseAsked = paused;
        if (paused && _runStop is { } stop)
            await stop.CancelAsync();
    }

    /// <param name="also">What else is new with that state.</param>
    private async Task EnterAsync(StreamState state, string? reason = null, StreamError? error = null, Func<StreamStatus, StreamStatus>? also = null)
    {
        var next = WithProgress(_status).Entering(state, reason, error, _time.GetUtcNow());
        next = also?.Invoke(next) ?? next;
        var changed = next.State != _status.State || next.Reason != _status.Reason;
        if (!changed)
            return;
        next = Stamp(next);
        // On record first: a state that somebody saw must not be forgotten by a crash.
        await _record.EnterAsync(next);
        if (!_term.IsHeld)
            return;
        StreamLog.StateEntered(_logger, state, reason ?? error?.Detail);
        if (state != _status.State)
            _meters.Entered(state);
        Show(next);
        _publish(next, true);
        Interlocked.Exchange(ref _settled, NewSettled()).TrySetResult();
    }

    private void Publish(StreamStatus next, bool stateChanged)
    {
        next = Stamp(next);
        Show(next);
        _publish(next, stateChanged);
    }

    private void Show(StreamStatus next)
    {
        _meters.WentOn(next.BytesStreamed - _status.BytesStreamed, next.BytesDurable - _status.BytesDurable);
        Volatile.Write(ref _status, next);
    }

    private StreamStatus Stamp(StreamStatus next) => next with { Generation = _status.Generation + 1, UpdatedAt = _time.GetUtcNow() };

    private StreamStatus WithProgress(StreamStatus status) =>
        _progress.AddTo(status, _run, _run is null ? [] : _pace.Budgets?.Shares() ?? []);

    /// <summary>Adds a finished run's figures to the job's.</summary>
    private void Settle()
    {
        var final = WithProgress(_status);
        _progress.Settle(final);
        _run = null;
        Show(final);
    }

    private async Task<StreamStatus> AskAsync(Func<Task> request, bool? settle, CancellationToken cancellationToken)
    {
        await _mailbox.PostAsync(request).WaitAsync(cancellationToken);
        // A pause is in force when the requests under way have drained, a resume when a run has begun.
        while (settle is { } paused)
        {
            var settled = Volatile.Read(ref _settled).Task;
            var status = Status;
            if (status.IsFinal || status.State == StreamState.Finalizing || _pauseAsked != paused || (status.State == StreamState.Paused) == paused)
                break;
            await settled.WaitAsync(cancellationToken);
        }
        return Status;
    }

    private static TaskCompletionSource NewSettled() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
