using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Migrations;

/// <summary>
/// One migration's state machine:
/// <code>
/// running ⇄ waiting → completed            step by step, each on record before it begins and after it ended
///    ↓ a step failed or a caller cancelled, before the switch
/// goingBack → failed | cancelled           what was done is undone, until all of it is
/// </code>
/// Every step looks at what is there before it acts: each is safe to repeat, and a service that comes back after a crash goes on
/// with the step on record. After the switch nothing is given up: it is tried until it works.
/// </summary>
public sealed partial class MigrationJob : IDisposable
{
    private readonly HostTerm _term;
    private readonly IMigrationHost _source;
    private readonly IMigrationHost _destination;
    private readonly StreamManager _streams;
    private readonly MigrationStore _store;
    private readonly SourceExports _exports;
    private readonly StreamServiceOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Action<MigrationStatus, bool> _publish;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly SemaphoreSlim _exporting = new(1, 1);
    private readonly CancellationTokenSource _backOut = new();
    private MigrationStatus _status;
    private CancellationToken _stopping;
    private int _restarts;
    private int _failures;
    private DateTimeOffset? _unreachableSince;

    /// <param name="term">Of the source.</param>
    internal MigrationJob(MigrationStatus status, HostTerm term, IMigrationHost destination, StreamManager streams, MigrationStore store,
        SourceExports exports, IOptions<StreamServiceOptions> options, TimeProvider time, ILogger logger, Action<MigrationStatus, bool> publish)
    {
        _status = status;
        _term = term;
        _source = (IMigrationHost)term.Hypervisor;
        _destination = destination;
        _streams = streams;
        _store = store;
        _exports = exports;
        _options = options.Value;
        _time = time;
        _logger = logger;
        _publish = publish;
    }

    /// <summary>In which it is driven: the source's.</summary>
    public HostTerm Term => _term;

    /// <summary>The present picture.</summary>
    public MigrationStatus Status => Volatile.Read(ref _status);

    private MigrationOptions Options => _options.Migration;

    /// <summary>Asks for it to be undone.</summary>
    /// <exception cref="MigrationPastException">The switch is past, or it is over.</exception>
    public async Task<MigrationStatus> CancelAsync()
    {
        var status = await ChangeAsync(now =>
            now.SwitchedAt is { } at ? throw new MigrationPastException($"Domain '{now.DomainName}' runs on {now.Spec.Destination} since {at:O}: there is no way back, only on.")
            : now.IsFinal ? throw new MigrationPastException("The migration is over.")
            : now.CancelRequested ? now
            : now with { CancelRequested = true });
        await _backOut.CancelAsync();
        return status;
    }

    /// <summary>Drives it to its end, or until its term ends: then it stays on record as it is.</summary>
    /// <exception cref="OperationCanceledException">The term ends.</exception>
    public async Task RunAsync(CancellationToken stopping)
    {
        _stopping = stopping;
        using var tending = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var tended = TendExportsAsync(tending.Token);
        try
        {
            while (!Status.IsFinal)
            {
                if (Status.State == MigrationState.GoingBack)
                    await GoBackAsync(stopping);
                else
                    await GoOnAsync(stopping);
            }
        }
        finally
        {
            await tending.CancelAsync();
            await tended;
        }
        MigrationLog.Ended(_logger, Status.DomainName, Status.State, Status.Error?.Detail);
    }

    /// <summary>To be called once nobody can find the job any more.</summary>
    public void Dispose()
    {
        _gate.Dispose();
        _exporting.Dispose();
        _backOut.Dispose();
    }

    /// <summary>Does the next step.</summary>
    private async Task GoOnAsync(CancellationToken stopping)
    {
        if (Status is { CancelRequested: true, SwitchedAt: null })
        {
            await TurnBackAsync(null);
            return;
        }
        if (Status.Steps.FirstOrDefault(step => step.State is not (MigrationStepState.Done or MigrationStepState.Skipped))?.Name is not { } name)
        {
            await ChangeAsync(now => now with { State = MigrationState.Completed, Reason = null, FinishedAt = _time.GetUtcNow() });
            return;
        }
        await ChangeAsync(now => (now with { State = MigrationState.Running, Reason = null, Step = name }).With(name, step => step with
        {
            State = MigrationStepState.Running,
            StartedAt = step.StartedAt ?? _time.GetUtcNow(),
            Attempts = step.Attempts + 1,
            Detail = null,
        }));
        MigrationLog.StepBegun(_logger, Status.DomainName, name, Status[name].Attempts);
        using var backOut = CancellationTokenSource.CreateLinkedTokenSource(stopping, Status.SwitchedAt is null ? _backOut.Token : CancellationToken.None);
        try
        {
            var (state, detail) = await DoAsync(name, backOut.Token);
            (_failures, _unreachableSince) = (0, null);
            await ChangeAsync(now => Finish(now, name, state, detail));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            throw;
        }
        catch (OperationCanceledException) when (_backOut.IsCancellationRequested)
        {
            // The next round turns back.
        }
        catch (Exception exception)
        {
            await HeedAsync(name, exception, stopping);
        }
    }

    /// <summary>What a step's failure means: go back, or try again.</summary>
    private async Task HeedAsync(MigrationStepName name, Exception exception, CancellationToken stopping)
    {
        var error = MigrationErrors.Of(exception);
        if (error.Code == MigrationErrors.Bug)
            MigrationLog.StepFault(_logger, Status.DomainName, name, exception);
        MigrationLog.StepFailed(_logger, Status.DomainName, name, error.Detail);
        var away = exception is HostUnreachableException;
        _unreachableSince = away ? _unreachableSince ?? _time.GetUtcNow() : null;
        if (Status.SwitchedAt is null && !(away && _time.GetUtcNow() - _unreachableSince < Options.GiveUpAfter))
        {
            await ChangeAsync(now => now.With(name, step => step with { State = MigrationStepState.Failed, FinishedAt = _time.GetUtcNow(), Detail = error.Detail }));
            await TurnBackAsync(error);
            return;
        }
        await ChangeAsync(now => (now with { State = MigrationState.Waiting, Reason = error.Detail }).With(name, step => step with { Detail = error.Detail }));
        await PauseAsync(stopping);
    }

    private Task<MigrationStatus> TurnBackAsync(MigrationError? error) =>
        ChangeAsync(now => now with { State = MigrationState.GoingBack, Error = error, Reason = null });

    private MigrationStatus Finish(MigrationStatus now, MigrationStepName name, MigrationStepState state, string? detail) =>
        now.With(name, step => step with { State = state, FinishedAt = _time.GetUtcNow(), Detail = detail });

    private Task<(MigrationStepState State, string? Detail)> DoAsync(MigrationStepName name, CancellationToken cancellationToken) => name switch
    {
        MigrationStepName.Snapshot => SnapshotAsync(cancellationToken),
        MigrationStepName.Export => ExportAsync(cancellationToken),
        MigrationStepName.PrepareDestination => PrepareDestinationAsync(cancellationToken),
        MigrationStepName.Migrate => MigrateAsync(cancellationToken),
        MigrationStepName.Stream => StreamAsync(cancellationToken),
        MigrationStepName.Verify => VerifyAsync(cancellationToken),
        MigrationStepName.Release => ReleaseAsync(cancellationToken),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "A step that is done before the migration is on record."),
    };

    /// <summary>Waits before another attempt, the longer the more have failed in a row.</summary>
    private Task PauseAsync(CancellationToken stopping) => Task.Delay(_options.Streaming.RetryDelayAfter(++_failures), _time, stopping);

    /// <summary>
    /// Starts a qemu-nbd again that has ended though a destination may need it. The destination's QEMU holds its requests back
    /// meanwhile.
    /// </summary>
    private async Task TendExportsAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(500), _time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken))
            {
                try
                {
                    await KeepExportsAsync(cancellationToken);
                }
                catch (HypervisorException refused)
                {
                    MigrationLog.StepFailed(_logger, Status.DomainName, MigrationStepName.Export, refused.Text);
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>Starts what has ended of the exports, and tells so.</summary>
    private async Task KeepExportsAsync(CancellationToken cancellationToken)
    {
        await _exporting.WaitAsync(cancellationToken);
        try
        {
            if (Status.State == MigrationState.GoingBack || Status[MigrationStepName.Export].State != MigrationStepState.Done
                || Status[MigrationStepName.Release].State != MigrationStepState.Pending)
                return;
            foreach (var disk in Status.Disks.Where(disk => !_exports.IsUp(Status.ExportName(disk))))
            {
                await StartExportAsync(disk, cancellationToken);
                var detail = $"Ended unasked, and was started again: {++_restarts} {(_restarts == 1 ? "time" : "times")}, last for {disk.Target}.";
                await ChangeAsync(now => now.With(MigrationStepName.Export, step => step with { Detail = detail }));
            }
        }
        finally
        {
            _exporting.Release();
        }
    }

    /// <summary>Ends all exports; nothing starts one again that is ended here.</summary>
    private async Task EndExportsAsync(CancellationToken cancellationToken)
    {
        await _exporting.WaitAsync(cancellationToken);
        try
        {
            foreach (var disk in Status.Disks)
                await _exports.StopAsync(Status.ExportName(disk), cancellationToken);
        }
        finally
        {
            _exporting.Release();
        }
    }

    private Task StartExportAsync(MigrationDisk disk, CancellationToken cancellationToken) =>
        _exports.StartAsync(Status.ExportName(disk), FrozenImage.Describe(disk.Frozen, disk.FrozenFormat, disk.Backing), Status.Address, disk.Port, cancellationToken);

    /// <summary>Changes the picture; it is on record when this returns.</summary>
    private Task<MigrationStatus> ChangeAsync(Func<MigrationStatus, MigrationStatus> change) => ChangeAsync(change, record: true);

    /// <summary>Tells how far it is, without a record.</summary>
    private Task<MigrationStatus> ProgressAsync(Func<MigrationStatus, MigrationStatus> change) => ChangeAsync(change, record: false);

    private async Task<MigrationStatus> ChangeAsync(Func<MigrationStatus, MigrationStatus> change, bool record)
    {
        await _gate.WaitAsync(CancellationToken.None);
        try
        {
            var next = change(_status);
            if (ReferenceEquals(next, _status))
                return next;
            next = next with { UpdatedAt = _time.GetUtcNow(), Generation = _status.Generation + 1 };
            if (record)
                await _store.UpdateAsync(next, _term.Epoch, CancellationToken.None);
            Volatile.Write(ref _status, next);
            _publish(next, record);
            return next;
        }
        catch (LeaseLostException)
        {
            // Another replica goes on with it: nothing more is done here.
            _term.Lose();
            throw new OperationCanceledException(_term.Ending);
        }
        finally
        {
            _gate.Release();
        }
    }
}
