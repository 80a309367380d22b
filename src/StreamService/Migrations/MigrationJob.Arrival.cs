using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;
using StreamService.Streaming;

namespace StreamService.Migrations;

// The steps after the switch.
public sealed partial class MigrationJob
{
    /// <summary>How often a block is compared that differs: a write of the guest's may be on its way.</summary>
    private const int Comparisons = 3;

    /// <summary>How often the guest is looked at: whether an error has stopped it.</summary>
    private static readonly TimeSpan GuestLookInterval = TimeSpan.FromSeconds(1);

    /// <summary>Of what the guest writes after the switch.</summary>
    private const string Bitmap = "streamservice-writes";

    private async Task<(MigrationStepState, string?)> StreamAsync(CancellationToken cancellationToken)
    {
        var detail = await WelcomeAsync(cancellationToken);
        var begun = new Dictionary<string, int>();
        var (stopped, lookedAt) = (default(string), default(long?));
        while (true)
        {
            var left = new List<string>();
            string? reason = null;
            foreach (var disk in Status.Disks)
            {
                var (remaining, wait) = await TendStreamAsync(disk, begun, cancellationToken);
                if (remaining is not 0)
                    left.Add(disk.Target);
                reason ??= wait;
                if (remaining is { } bytes && bytes != disk.BytesRemaining)
                    await ProgressAsync(now => now.With(disk.Target, one => one with { BytesRemaining = bytes }));
            }
            if (lookedAt is not { } last || _time.GetElapsedTime(last) >= GuestLookInterval)
                (stopped, lookedAt) = (await TendGuestAsync(cancellationToken), _time.GetTimestamp());
            reason ??= stopped;
            if (left.Count == 0 && stopped is null)
            {
                foreach (var disk in Status.Disks)
                    await CheckIndependentAsync(disk, cancellationToken);
                return (MigrationStepState.Done, detail);
            }
            var state = reason is null ? MigrationState.Running : MigrationState.Waiting;
            if (Status.State != state || Status.Reason != reason)
                await ChangeAsync(now => now with { State = state, Reason = reason });
            await Task.Delay(ProgressInterval, _time, cancellationToken);
        }
    }

    /// <summary>Lets a guest go on that an I/O error has stopped: the source was away, say, in the moment before requests were held back.</summary>
    /// <returns>Why it waits; null where it runs.</returns>
    private async Task<string?> TendGuestAsync(CancellationToken cancellationToken)
    {
        if (await _destination.LookAsync(Status.Domain, cancellationToken) is not { StoppedByError: true })
            return null;
        await KeepExportsAsync(cancellationToken);
        await _destination.ResumeAsync(Status.Domain, cancellationToken);
        return "An I/O error has stopped the guest; it goes on as soon as the source answers.";
    }

    /// <summary>Sees to what libvirt does not bring over, and begins to record what the guest writes.</summary>
    private async Task<string?> WelcomeAsync(CancellationToken cancellationToken)
    {
        string? detail = null;
        if (await _destination.LookAsync(Status.Domain, cancellationToken) is not { IsActive: true })
            return detail;
        foreach (var disk in Status.Disks)
        {
            try
            {
                var export = new NbdAddress(Status.Address, disk.Port, Status.ExportName(disk), Options.Tls.IsConfigured);
                await _destination.RideOutAsync(Status.Domain, disk.Target, export, Options.ReconnectDelay, cancellationToken);
            }
            catch (HypervisorException refused)
            {
                detail = $"A break in the network is not ridden out: {refused.Text}";
                MigrationLog.StepFailed(_logger, Status.DomainName, MigrationStepName.Stream, detail);
            }
            try
            {
                if (Status.Spec.Verify && await _store.FindWrittenAsync(Status.MigrationId, disk.Target, cancellationToken) is null)
                    await BeginRecordAsync(disk, cancellationToken);
            }
            catch (ExportUnavailableException unavailable)
            {
                detail = $"What the guest writes is not recorded: {unavailable.Text}";
            }
        }
        if (Status is { Persistent: true, Autostart: true })
            await _destination.SetAutostartAsync(Status.Domain, autostart: true, cancellationToken);
        return detail;
    }

    /// <summary>
    /// First the bitmap, then the look at what the overlay holds already: a write in between is in both. Nothing is streamed yet,
    /// so what it holds was written by the guest, or read by it where copy-on-read is on.
    /// </summary>
    private async Task BeginRecordAsync(MigrationDisk disk, CancellationToken cancellationToken)
    {
        await _destination.RecordWritesAsync(Status.Domain, disk.Target, Bitmap, cancellationToken);
        await using var export = await _destination.ExportDiskAsync(Status.Domain, disk.Target, evenOff: false, cancellationToken);
        var written = new WrittenBlocks(export.Size);
        written.Add(await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken));
        await _store.AddWrittenAsync(Status.MigrationId, disk.Target, written.ToBytes(), cancellationToken);
    }

    /// <summary>Sees to it that a disk is streamed.</summary>
    /// <param name="begun">How many streams were begun for each disk.</param>
    /// <returns>The bytes that are left, null where that is not known yet; and why it waits.</returns>
    private async Task<(long? Remaining, string? Waits)> TendStreamAsync(MigrationDisk disk, Dictionary<string, int> begun, CancellationToken cancellationToken)
    {
        var address = new DiskAddress(Status.Spec.Destination, Status.Domain, disk.Target);
        var latest = await _streams.FindLatestAsync(address, cancellationToken);
        if (latest is { IsFinal: false })
            return (latest.BytesRemaining is 0 ? null : latest.BytesRemaining, WaitsFor(latest));

        var domain = await _destination.FindDomainAsync(Status.Domain.ToString(), cancellationToken)
            ?? throw new HypervisorException("DomainGone", $"{Status.Spec.Destination} has no domain {Status.Domain} any more; its disks still depend on the source.");
        if (domain.FindDisk(disk.Target) is not { } now)
            throw new HypervisorException("DiskGone", $"The domain has no disk '{disk.Target}' any more; '{disk.Destination}' still depends on the source.");
        if (!domain.IsActive)
            return (null, $"The domain is off on {Status.Spec.Destination}; its disks depend on the source until it runs again and they are streamed.");
        if (now.BackingChain.Count == 0)
            return (0, null);

        var times = begun.GetValueOrDefault(disk.Target);
        if (latest?.FinishedAt is { } ended && ended >= Status.SwitchedAt && _time.GetUtcNow() < ended + _options.Streaming.RetryDelayAfter(times + 1))
            return (null, latest.State switch
            {
                StreamState.Failed => $"The stream of {disk.Target} has failed and is begun again: {latest.Error?.Detail}",
                StreamState.Cancelled => $"The stream of {disk.Target} was cancelled and is begun again: the disk must not depend on the source for ever.",
                // What is known of the disk is from before the end.
                _ => null,
            });
        try
        {
            await _streams.StartAsync(_destination, domain, now, Status.Spec.Stream, idempotencyKey: null, cancellationToken);
            begun[disk.Target] = times + 1;
            return (null, null);
        }
        catch (StreamRefusedException refused)
        {
            // Somebody else's block job, for one.
            return (null, refused.Message);
        }
    }

    /// <summary>Asks QEMU itself whether anything of a disk is still only on the source: what libvirt says of the chain is not enough to end an export.</summary>
    private async Task CheckIndependentAsync(MigrationDisk disk, CancellationToken cancellationToken)
    {
        try
        {
            await using var export = await _destination.ExportDiskAsync(Status.Domain, disk.Target, evenOff: false, cancellationToken);
            var remaining = (await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken)).RemainingBytes();
            if (remaining > 0)
                throw new HypervisorException("NotIndependent", $"Disk '{disk.Target}' has no backing image any more, they say, but {remaining} bytes of it are still only on the source.");
        }
        catch (ExportUnavailableException)
        {
            // Then the hypervisor's own job has streamed it, whose end is libvirt's word.
        }
    }

    private static string? WaitsFor(StreamStatus stream) => stream.State switch
    {
        StreamState.Waiting or StreamState.Queued => stream.Reason ?? $"The stream of {stream.Disk.Target} is queued.",
        StreamState.Paused => $"The stream of {stream.Disk.Target} is paused.",
        _ => null,
    };

    private async Task<(MigrationStepState, string?)> VerifyAsync(CancellationToken cancellationToken)
    {
        if (!Status.Spec.Verify)
            return (MigrationStepState.Skipped, "Not asked for.");
        foreach (var disk in Status.Disks)
        {
            var begun = await _store.FindWrittenAsync(Status.MigrationId, disk.Target, cancellationToken);
            if (begun is null || await VerifyAsync(disk, begun, cancellationToken) is not { } different)
                return (MigrationStepState.Skipped, $"The domain's QEMU was restarted after the switch, and with it went the record of what the guest wrote to {disk.Target}, or it was never begun.");
            if (different.Count > 0)
                throw new HypervisorException("ContentDiffers",
                    $"Disk '{disk.Target}' differs from the source's image in {different.Count} blocks of {WrittenBlocks.BlockSize} bytes that the guest has not written, the first at {different[0] * WrittenBlocks.BlockSize}. The export stays.");
        }
        return Done;
    }

    /// <summary>Compares one disk.</summary>
    /// <returns>The blocks that differ; null where it cannot be told any more what the guest has written.</returns>
    private async Task<IReadOnlyList<long>?> VerifyAsync(MigrationDisk disk, byte[] begun, CancellationToken cancellationToken)
    {
        await using var frozen = await ConnectFrozenAsync(disk, cancellationToken);
        IReadOnlyList<long>? different = null;
        for (var comparison = 1; comparison <= Comparisons; comparison++)
        {
            await using var recorded = await _destination.ExportRecordedAsync(Status.Domain, disk.Target, Bitmap, cancellationToken);
            if (recorded is null)
                return null;
            var written = new WrittenBlocks(disk.Size, begun);
            await written.AddAsync(recorded.Client, recorded.Context, cancellationToken);
            if (different is null)
            {
                long equal = 0;
                var told = _time.GetTimestamp();
                different = await DiskComparison.CompareAsync(frozen, recorded.Client, written, bytes =>
                {
                    var sum = Interlocked.Add(ref equal, bytes);
                    if (_time.GetElapsedTime(Interlocked.Read(ref told)) < ProgressInterval)
                        return;
                    Interlocked.Exchange(ref told, _time.GetTimestamp());
                    _ = ProgressAsync(now => now.With(disk.Target, one => one with { BytesVerified = sum }));
                }, cancellationToken);
                await ChangeAsync(now => now.With(disk.Target, one => one with { BytesVerified = equal, BytesOverwritten = disk.Size - equal }));
            }
            else
            {
                different = await DiskComparison.CompareAgainAsync(frozen, recorded.Client, written, different, cancellationToken);
            }
            if (different.Count == 0)
                break;
            await Task.Delay(ProgressInterval, _time, cancellationToken);
        }
        return different;
    }

    private Task<NbdClient> ConnectFrozenAsync(MigrationDisk disk, CancellationToken cancellationToken) =>
        NbdClient.ConnectAsync(
            new System.Net.IPEndPoint(System.Net.IPAddress.Parse(Status.Address), disk.Port),
            Status.ExportName(disk),
            new NbdClientOptions { TlsOptions = Options.Tls.IsConfigured ? new NbdTls(Options.Tls.Folder).ClientFor(Status.Address) : null, RequestTimeout = TimeSpan.FromSeconds(30) },
            cancellationToken);

    private async Task<(MigrationStepState, string?)> ReleaseAsync(CancellationToken cancellationToken)
    {
        if (Status.Spec.Verify)
            foreach (var disk in Status.Disks)
                await _destination.ForgetWritesAsync(Status.Domain, disk.Target, Bitmap, cancellationToken);
        await EndExportsAsync(cancellationToken);
        await _store.RemoveWrittenAsync(Status.MigrationId, cancellationToken);
        await ChangeAsync(now => now with
        {
            Disks = [.. now.Disks.Select(disk => disk with { Port = 0 })],
            LeftOnSource = [.. now.Disks.SelectMany(disk => new[] { disk.Frozen, disk.Overlay }).Where(File.Exists)],
        });
        return Done;
    }
}
