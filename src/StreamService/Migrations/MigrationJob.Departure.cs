using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Libvirt;

namespace StreamService.Migrations;

// The steps up to the switch.
public sealed partial class MigrationJob
{
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromMilliseconds(250);

    /// <summary>How long a domain that no side runs may stay so before something is done about it.</summary>
    private static readonly TimeSpan UnclearFor = TimeSpan.FromSeconds(30);

    /// <summary>After so many looks in a row with the same outcome it is believed.</summary>
    private const int CalmLooks = 2;

    /// <summary>So many blocks of a disk are compared with its export before the destination relies on it.</summary>
    private const int SampledBlocks = 128;

    /// <summary>How often libvirt is asked to migrate where the export had ended under it.</summary>
    private const int MigrateAttempts = 3;

    private static readonly (MigrationStepState, string?) Done = (MigrationStepState.Done, null);

    private async Task<(MigrationStepState, string?)> SnapshotAsync(CancellationToken cancellationToken)
    {
        var sources = await ReadSourcesAsync(cancellationToken);
        var missing = Status.Disks.Where(disk => sources.GetValueOrDefault(disk.Target) != disk.Overlay).ToList();
        if (missing.FirstOrDefault(disk => sources.GetValueOrDefault(disk.Target) != disk.Frozen) is { } changed)
            throw new HypervisorException("DiskChanged", $"Disk '{changed.Target}' is on '{sources.GetValueOrDefault(changed.Target)}' now, not on '{changed.Frozen}'.");
        if (missing.Count == 0)
            return Done;
        foreach (var disk in missing)
            File.Delete(disk.Overlay);
        await _source.SnapshotAsync(Status.Domain, missing.ToDictionary(disk => disk.Target, disk => disk.Overlay), cancellationToken);
        return Done;
    }

    private async Task<(MigrationStepState, string?)> ExportAsync(CancellationToken cancellationToken)
    {
        foreach (var disk in Status.Disks)
        {
            var refusals = 0;
            while (true)
            {
                if (Status.Disks.Single(now => now.Target == disk.Target).Port == 0)
                {
                    var taken = (await _store.ListActiveAsync(cancellationToken)).SelectMany(other => other.Disks).Select(other => other.Port).ToHashSet();
                    var port = _exports.FindPort(Status.Address, taken);
                    await ChangeAsync(now => now.With(disk.Target, one => one with { Port = port }));
                }
                try
                {
                    await StartExportAsync(Status.Disks.Single(now => now.Target == disk.Target), cancellationToken);
                    break;
                }
                catch (HypervisorException refused) when (refused.Text.Contains("Address already in use", StringComparison.Ordinal) && ++refusals < 10)
                {
                    // Somebody was quicker.
                    await ChangeAsync(now => now.With(disk.Target, one => one with { Port = 0 }));
                }
            }
        }
        foreach (var disk in Status.Disks)
            await CheckExportAsync(disk, cancellationToken);
        return Done;
    }

    /// <summary>
    /// Holds the export against what the guest sees: blocks from all over the disk, those that nobody has written since the snapshot.
    /// An image that was opened without a layer of its chain, say, must be found out while there is a way back.
    /// </summary>
    private async Task CheckExportAsync(MigrationDisk disk, CancellationToken cancellationToken)
    {
        await using var seen = await _source.ExportDiskAsync(Status.Domain, disk.Target, evenOff: false, cancellationToken);
        await using var frozen = await ConnectFrozenAsync(disk, cancellationToken);
        if (frozen.Export.Size < seen.Size)
            throw new HypervisorException("ExportDiffers", $"The export of {disk.Target} has {frozen.Export.Size} bytes, the disk {seen.Size}.");
        var written = new WrittenBlocks(seen.Size);
        var blocks = Sample(await AllocationMap.ReadAsync(seen.Warm, 0, seen.Size, cancellationToken));
        var different = await DiskComparison.CompareAgainAsync(frozen, seen.Warm, written, blocks, cancellationToken);
        // What the guest has written meanwhile is above the snapshot now.
        written.Add(await AllocationMap.ReadAsync(seen.Warm, 0, seen.Size, cancellationToken));
        different = await DiskComparison.CompareAgainAsync(frozen, seen.Warm, written, different, cancellationToken);
        if (different.Count > 0)
            throw new HypervisorException("ExportDiffers",
                $"The export of {disk.Target} differs from what the guest sees in {different.Count} of {blocks.Count} blocks looked at, the first at {different[0] * WrittenBlocks.BlockSize}.");
    }

    /// <summary>Blocks with data below the active layer, evenly spread.</summary>
    private static List<long> Sample(AllocationMap map)
    {
        var data = map.Extents.Where(extent => extent is { Depth: > 1, IsZero: false }).ToList();
        var step = Math.Max(WrittenBlocks.BlockSize, data.Sum(extent => extent.Length) / SampledBlocks);
        return [.. data.SelectMany(extent => Enumerable.Range(0, (int)((extent.Length + step - 1) / step)).Select(i => (extent.Offset + i * step) / WrittenBlocks.BlockSize)).Distinct()];
    }

    private async Task<(MigrationStepState, string?)> PrepareDestinationAsync(CancellationToken cancellationToken)
    {
        foreach (var disk in Status.Disks)
        {
            await using var folder = await _destination.OpenFolderAsync(Path.GetDirectoryName(disk.Destination)!, cancellationToken);
            var name = Path.GetFileName(disk.Destination);
            if (disk.Prepared)
                await folder.DeleteFileAsync(name, cancellationToken);
            else if (await folder.ExistsAsync(name, cancellationToken))
                throw new HypervisorException("FileExists", $"'{disk.Destination}' has come up on {Status.Spec.Destination} meanwhile.");
            // On record before it is made: whatever ends this, the file is known to be ours.
            await ChangeAsync(now => now.With(disk.Target, one => one with { Prepared = true }));
            var header = await OverlayHeader.MakeAsync(Status.Spec.Format, Status.ExportUri(disk)!, disk.Size, _options.RuntimeDirectory, cancellationToken);
            await folder.WriteFileAsync(name, header, cancellationToken);
        }
        return Done;
    }

    private async Task<(MigrationStepState, string?)> MigrateAsync(CancellationToken cancellationToken)
    {
        // What a former service, or a lost connection, left behind decides, not what was last known.
        var again = Status[MigrationStepName.Migrate].Attempts > 1;
        if (again && await SettleAsync(abort: false, cancellationToken))
            return await SwitchedAsync();
        for (var attempt = 1; ; attempt++, again = true)
        {
            // What an attempt that failed has brought over is from before.
            if (again)
                await PrepareDestinationAsync(cancellationToken);
            await KeepExportsAsync(cancellationToken);
            var (restarts, failure) = (_restarts, default(Exception));
            try
            {
                await OrderMigrationAsync(cancellationToken);
            }
            catch (Exception exception) when (!_stopping.IsCancellationRequested)
            {
                failure = exception;
            }
            // Who cancels waits for the outcome too: the switch may have come first.
            if (await SettleAsync(abort: failure is OperationCanceledException, _stopping, trust: failure is null))
                return await SwitchedAsync();
            cancellationToken.ThrowIfCancellationRequested();
            // An export that had ended is reason enough, and is up again.
            if (attempt < MigrateAttempts && (_restarts != restarts || Status.Disks.Any(disk => !_exports.IsUp(Status.ExportName(disk)))))
                continue;
            throw failure ?? new HypervisorException("NotMigrated", $"libvirt reports the migration as done, but the domain is not on {Status.Spec.Destination}.");
        }
    }

    private async Task OrderMigrationAsync(CancellationToken cancellationToken)
    {
        var tls = Options.Tls.IsConfigured;
        var live = DestinationXml.Build(await _source.DescribeForMigrationAsync(Status.Domain, persistent: false, cancellationToken), Status, tls, live: true);
        var persistent = Status.Persistent
            ? DestinationXml.Build(await _source.DescribeForMigrationAsync(Status.Domain, persistent: true, cancellationToken), Status, tls, live: false)
            : null;
        var order = new MigrationOrder(live, persistent, [.. Status.Disks.Select(disk => disk.Target)], tls);
        using var watching = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var watched = WatchMemoryAsync(watching.Token);
        try
        {
            await _source.MigrateAsync(Status.Domain, _destination, order, cancellationToken);
        }
        finally
        {
            await watching.CancelAsync();
            await watched;
        }
    }

    private async Task WatchMemoryAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(ProgressInterval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken))
                await TellMemoryAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task TellMemoryAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (await _source.FindJobAsync(Status.Domain, cancellationToken) is { MemoryTotal: > 0 } job)
                await ProgressAsync(now => now with { Memory = new MemoryProgress(job.MemoryTotal, job.MemoryRemaining, job.MemoryTransferred, job.BytesPerSecond) });
        }
        catch (Exception exception) when (exception is HypervisorException or HostUnreachableException or DomainNotFoundException or DomainNotRunningException)
        {
            // Progress is a courtesy; the migration's own call tells what matters.
        }
    }

    private async Task<(MigrationStepState, string?)> SwitchedAsync()
    {
        await ChangeAsync(now => now with
        {
            SwitchedAt = now.SwitchedAt ?? _time.GetUtcNow(),
            CancelRequested = false,
            Memory = now.Memory is null ? null : now.Memory with { Remaining = 0 },
        });
        MigrationLog.Switched(_logger, Status.DomainName, Status.Spec.Destination);
        return (MigrationStepState.Done, $"The domain is on {Status.Spec.Destination}{await TellPauseAsync()}.");
    }

    private async Task<string> TellPauseAsync()
    {
        try
        {
            return await _destination.FindPauseAsync(Status.Domain, _stopping) is { } pause ? $"; its guest stood still for {pause.TotalMilliseconds:0} ms" : "";
        }
        catch (Exception exception) when (exception is HypervisorException or HostUnreachableException or DomainNotFoundException or DomainNotRunningException)
        {
            return "";
        }
    }

    /// <summary>Waits until libvirt's migration is over on both sides, and sees to it that exactly one host has the domain.</summary>
    /// <param name="abort">Whether the migration is to end.</param>
    /// <param name="trust">Whether the first look is believed: libvirt has just reported success.</param>
    /// <returns>Whether it is the destination.</returns>
    private async Task<bool> SettleAsync(bool abort, CancellationToken cancellationToken, bool trust = false)
    {
        var (last, calm) = (Whereabouts.Unclear, 0);
        DateTimeOffset? unclearSince = null;
        while (true)
        {
            try
            {
                var here = await _source.LookAsync(Status.Domain, cancellationToken);
                if (here is { JobActive: true })
                {
                    unclearSince = null;
                    if (abort)
                        await _source.AbortMigrationAsync(Status.Domain, cancellationToken);
                    await TellMemoryAsync(cancellationToken);
                }
                var there = await _destination.LookAsync(Status.Domain, cancellationToken);
                var now = WhereaboutsRule.Decide(here, there);
                calm = now == last ? calm + 1 : 0;
                last = now;
                if (now == Whereabouts.Unclear && here is not { JobActive: true })
                {
                    unclearSince ??= _time.GetUtcNow();
                    // The source's QEMU is gone for good; whatever the destination has either goes on, or is nothing.
                    if (_time.GetUtcNow() - unclearSince > UnclearFor)
                    {
                        if (!await TryResumeAsync(cancellationToken))
                            await _destination.RemoveAsync(Status.Domain, cancellationToken);
                        unclearSince = null;
                    }
                }
                if (now != Whereabouts.Unclear && (calm >= CalmLooks || (trust && now == Whereabouts.Destination)))
                {
                    MigrationLog.Settled(_logger, Status.DomainName, now);
                    switch (now)
                    {
                        case Whereabouts.Source:
                            return false;
                        case Whereabouts.Destination:
                            return true;
                        case Whereabouts.SourceAfterRemovingDestination:
                            await _destination.RemoveAsync(Status.Domain, cancellationToken);
                            break;
                        case Whereabouts.SourceAfterResuming:
                            await _source.ResumeAsync(Status.Domain, cancellationToken);
                            break;
                        case Whereabouts.DestinationAfterRemovingSource:
                            await _source.RemoveAsync(Status.Domain, cancellationToken);
                            break;
                    }
                    calm = 0;
                }
                if (Status.State == MigrationState.Waiting)
                    await ChangeAsync(now => now with { State = MigrationState.Running, Reason = null });
            }
            catch (Exception exception) when (exception is HostUnreachableException or HypervisorException or DomainNotFoundException or DomainNotRunningException)
            {
                // Nobody may decide with one eye shut.
                calm = 0;
                var reason = $"It is not known yet where the domain is: {exception.Message}";
                if (Status.Reason != reason)
                    await ChangeAsync(now => now with { State = now.State == MigrationState.GoingBack ? now.State : MigrationState.Waiting, Reason = reason });
            }
            await Task.Delay(ProgressInterval, _time, cancellationToken);
        }
    }

    private async Task<bool> TryResumeAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _destination.ResumeAsync(Status.Domain, cancellationToken);
            return true;
        }
        catch (HypervisorException)
        {
            return false;
        }
    }

    /// <summary>The active layers of the source's disks as libvirt has them now, by target.</summary>
    private async Task<IReadOnlyDictionary<string, string?>> ReadSourcesAsync(CancellationToken cancellationToken) =>
        DomainXml.Parse(await _source.DescribeForMigrationAsync(Status.Domain, persistent: false, cancellationToken)).Disks.ToDictionary(disk => disk.Target, disk => disk.Source);
}
