using StreamService.Hypervisors;

namespace StreamService.Migrations;

// The way back.
public sealed partial class MigrationJob
{
    /// <summary>
    /// Undoes what was done, the source first: its domain is whole again even while the destination is away. What cannot be
    /// undone yet is tried until it can.
    /// </summary>
    private async Task GoBackAsync(CancellationToken stopping)
    {
        if (Status[MigrationStepName.Migrate].State is MigrationStepState.Running or MigrationStepState.Failed)
        {
            if (await SettleAsync(abort: true, stopping))
            {
                await ChangeAsync(now => Finish(now with { State = MigrationState.Running, Error = null, Reason = null }, MigrationStepName.Migrate, MigrationStepState.Done,
                    "The switch came before the way back: on it goes."));
                await SwitchedAsync();
                return;
            }
            await ChangeAsync(now => now.With(MigrationStepName.Migrate, step => step with { State = MigrationStepState.Undone }));
        }
        string? reason = null;
        foreach (var (name, undo) in new (MigrationStepName, Func<CancellationToken, Task>)[]
        {
            (MigrationStepName.Export, UnexportAsync),
            (MigrationStepName.Snapshot, UnsnapshotAsync),
            (MigrationStepName.PrepareDestination, UnprepareDestinationAsync),
        })
        {
            if (Status[name].State is MigrationStepState.Pending or MigrationStepState.Undone)
                continue;
            try
            {
                await undo(stopping);
                await ChangeAsync(now => now.With(name, step => step with { State = MigrationStepState.Undone }));
            }
            catch (Exception exception) when (!stopping.IsCancellationRequested)
            {
                var error = MigrationErrors.Of(exception);
                if (error.Code == MigrationErrors.Bug)
                    MigrationLog.StepFault(_logger, Status.DomainName, name, exception);
                MigrationLog.NotUndone(_logger, Status.DomainName, name, error.Detail);
                reason ??= $"{name} is not undone yet: {error.Detail}";
            }
        }
        if (reason is null)
        {
            var end = Status.Error is null ? MigrationState.Cancelled : MigrationState.Failed;
            await ChangeAsync(now => now with { State = end, Reason = null, FinishedAt = _time.GetUtcNow() });
            return;
        }
        if (Status.Reason != reason)
            await ChangeAsync(now => now with { Reason = reason });
        await PauseAsync(stopping);
    }

    private async Task UnexportAsync(CancellationToken cancellationToken)
    {
        await EndExportsAsync(cancellationToken);
        await ChangeAsync(now => now with { Disks = [.. now.Disks.Select(disk => disk with { Port = 0 })] });
    }

    private async Task UnsnapshotAsync(CancellationToken cancellationToken)
    {
        foreach (var disk in Status.Disks)
        {
            try
            {
                await _source.CommitAsync(Status.Domain, disk.Target, disk.Overlay, new ChainImage(disk.Frozen, disk.FrozenFormat), cancellationToken);
            }
            catch (DomainNotFoundException)
            {
                // Somebody removed it meanwhile: its images stay as they are, both layers of them.
                return;
            }
            File.Delete(disk.Overlay);
        }
    }

    private async Task UnprepareDestinationAsync(CancellationToken cancellationToken)
    {
        foreach (var disk in Status.Disks.Where(disk => disk.Prepared))
        {
            await using var folder = await _destination.OpenFolderAsync(Path.GetDirectoryName(disk.Destination)!, cancellationToken);
            await folder.DeleteFileAsync(Path.GetFileName(disk.Destination), cancellationToken);
        }
    }
}
