using System.Xml.Linq;
using StreamService.Qemu.Libvirt;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

// What a migration needs of a host.
public sealed partial class LibvirtHypervisor : IMigrationHost
{
    /// <summary>A migration is ended by whoever asked for it, not by a clock.</summary>
    private static readonly TimeSpan MigrationTimeout = TimeSpan.FromDays(7);

    private static readonly TimeSpan CommitPoll = TimeSpan.FromMilliseconds(100);

    /// <summary>Bytes that one bit of a bitmap stands for: a cluster.</summary>
    private const int BitmapGranularity = 64 << 10;

    /// <inheritdoc/>
    public async Task<DomainStanding?> LookAsync(Guid domain, CancellationToken cancellationToken)
    {
        Forget(domain);
        try
        {
            var (state, reason) = await CallAsync(domain, handle => handle.GetStateAsync(cancellationToken), cancellationToken);
            return new DomainStanding(
                StateOf(state),
                MayHaveRun: state != Qemu.Libvirt.DomainState.Paused
                    || (PausedReason)reason is not (PausedReason.Unknown or PausedReason.Migration or PausedReason.StartingUp),
                JobActive: await HasJobAsync(domain, cancellationToken),
                Persistent: await CallAsync(domain, handle => handle.IsPersistentAsync(cancellationToken), cancellationToken))
            {
                StoppedByError = state == Qemu.Libvirt.DomainState.Paused && (PausedReason)reason == PausedReason.IoError,
            };
        }
        catch (DomainNotFoundException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public Task<string> DescribeForMigrationAsync(Guid domain, bool persistent, CancellationToken cancellationToken) =>
        CallAsync(domain, handle => handle.GetXmlAsync(
            DomainXmlOptions.Migratable | DomainXmlOptions.Secure | (persistent ? DomainXmlOptions.Inactive : DomainXmlOptions.None), cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public async Task<IReadOnlyList<string>> FindObstaclesAsync(Guid domain, string xml, CancellationToken cancellationToken)
    {
        var root = XElement.Parse(xml);
        var type = root.Element("os")?.Element("type");
        var (virtType, architecture, machine, emulator) =
            ((string?)root.Attribute("type"), (string?)type?.Attribute("arch"), (string?)type?.Attribute("machine"), root.Element("devices")?.Element("emulator")?.Value);
        var obstacles = new List<string>();
        _summaries.Invalidate();
        foreach (var other in await CallAsync(connection => connection.ListDomainsAsync(cancellationToken)))
            if (other.Uuid == domain || other.Name == root.Element("name")?.Value)
                obstacles.Add($"{_name} has a domain '{other.Name}' ({other.Uuid}) already.");
        try
        {
            await CallAsync(connection => connection.GetDomainCapabilitiesAsync(emulator, architecture, machine, virtType, cancellationToken));
            // Of a host-passthrough nothing can be compared; libvirt does it when it migrates.
            if (root.Element("cpu") is { } cpu && cpu.Element("model") is not null
                && await CallAsync(connection => connection.CompareHypervisorCpuAsync(emulator, architecture, machine, virtType, cpu.ToString(), cancellationToken)) == CpuComparison.Incompatible)
                obstacles.Add($"{_name} cannot offer the domain's processor, {cpu.Element("model")!.Value} with its features.");
        }
        catch (HypervisorException refused)
        {
            obstacles.Add($"{_name} cannot run such a domain ({virtType}, {architecture}, {machine}, {emulator}): {refused.Text}");
        }
        return obstacles;
    }

    /// <inheritdoc/>
    public async Task ProbeExportAsync(string xml, CancellationToken cancellationToken)
    {
        // Should we be killed, it ends with our connection.
        using var probe = await CallAsync(connection => connection.CreateXmlAsync(xml, DomainCreateOptions.Paused | DomainCreateOptions.AutoDestroy, cancellationToken));
        await TranslateAsync(() => Completed(probe.DestroyAsync(cancellationToken)));
    }

    /// <inheritdoc/>
    public async Task<IHostFolder> OpenFolderAsync(string path, CancellationToken cancellationToken) =>
        new Folder(this, await CallAsync(connection => connection.OpenFolderAsync(path, cancellationToken)));

    /// <inheritdoc/>
    public async Task SnapshotAsync(Guid domain, IReadOnlyDictionary<string, string> overlays, CancellationToken cancellationToken)
    {
        var xml = DomainXml.Parse(await DescribeForMigrationAsync(domain, persistent: false, cancellationToken));
        var snapshot = new XElement("domainsnapshot",
            new XElement("disks", xml.Disks.Select(disk => overlays.TryGetValue(disk.Target, out var overlay)
                ? new XElement("disk", new XAttribute("name", disk.Target), new XAttribute("snapshot", "external"),
                    new XElement("driver", new XAttribute("type", "qcow2")),
                    new XElement("source", new XAttribute("file", overlay)))
                : new XElement("disk", new XAttribute("name", disk.Target), new XAttribute("snapshot", "no")))));
        await CallAsync(domain, handle => Completed(handle.SnapshotCreateXmlAsync(
            snapshot.ToString(), SnapshotCreateOptions.DiskOnly | SnapshotCreateOptions.NoMetadata | SnapshotCreateOptions.Atomic, cancellationToken)), cancellationToken);
        Forget(domain);
    }

    /// <inheritdoc/>
    public async Task CommitAsync(Guid domain, string target, string overlay, ChainImage frozen, CancellationToken cancellationToken)
    {
        while (await LookAsync(domain, cancellationToken) is { IsActive: true })
        {
            var now = DomainXml.Parse(await DescribeForMigrationAsync(domain, persistent: false, cancellationToken)).Disks.FirstOrDefault(disk => disk.Target == target)
                ?? throw new DiskNotFoundException(domain.ToString(), target);
            var job = await CallAsync(domain, handle => handle.GetBlockJobInfoAsync(target, cancellationToken), cancellationToken);
            if (now.Source != overlay && job is null)
                return;
            if (job is null)
                await CallAsync(domain, handle => Completed(handle.BlockCommitAsync(target, baseName: null, topName: null, 0, BlockCommitOptions.Active | BlockCommitOptions.Shallow, cancellationToken)), cancellationToken);
            else if (job.Type != BlockJobType.ActiveCommit)
                throw new HypervisorException("BlockJobActive", $"A block job of type '{job.Type.ToString().ToLowerInvariant()}' is at work on disk '{target}'.");
            else if (job.Current == job.End)
                await TryPivotAsync(domain, target, cancellationToken);
            await Task.Delay(CommitPoll, _time, cancellationToken);
        }
        if (await LookAsync(domain, cancellationToken) is null)
            throw new DomainNotFoundException(domain.ToString());
        await CommitOfflineAsync(domain, target, overlay, frozen, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task MigrateAsync(Guid domain, IMigrationHost destination, MigrationOrder order, CancellationToken cancellationToken)
    {
        var parameters = new List<KeyValuePair<string, object>> { new("destination_xml", order.DestinationXml) };
        if (order.PersistentXml is not null)
            parameters.Add(new("persistent_xml", order.PersistentXml));
        if (destination.MigrationAddress is { } address)
            parameters.Add(new("migrate_uri", $"tcp://{(address.Contains(':', StringComparison.Ordinal) ? $"[{address}]" : address)}"));
        parameters.AddRange(order.Targets.Select(target => new KeyValuePair<string, object>("migrate_disks", target)));
        var options = MigrateOptions.Live | MigrateOptions.NonSharedIncremental | MigrateOptions.AutoConverge
            | (order.PersistentXml is null ? MigrateOptions.None : MigrateOptions.PersistDestination | MigrateOptions.UndefineSource)
            | (order.Tls ? MigrateOptions.Tls : MigrateOptions.None);
        var connection = Connection();
        try
        {
            await CallAsync(domain, async handle =>
            {
                try
                {
                    await handle.MigrateToUri3Async(destination.Info.Uri, parameters, options | MigrateOptions.PeerToPeer, MigrationTimeout, cancellationToken);
                }
                catch (LibvirtException refused) when (destination is LibvirtHypervisor && refused.Message.Contains("to remote libvirt", StringComparison.Ordinal))
                {
                    // The hosts' libvirts cannot talk to each other, but both talk to us: then all goes through this service.
                    HypervisorLog.NotPeerToPeer(_logger, _name, destination.Info.Name, refused.Message);
                    await handle.MigrateAsync(((LibvirtHypervisor)destination).Connection(), parameters, options, MigrationTimeout, cancellationToken);
                }
                return true;
            }, cancellationToken);
        }
        catch (HostUnreachableException away) when (!connection.Closed.IsCompleted)
        {
            // libvirt says the same of the destination's connection; this one is well.
            throw new HypervisorException("NotMigrated", away.Reason, away);
        }
        finally
        {
            Forget(domain);
            _summaries.Invalidate();
            (destination as LibvirtHypervisor)?.Expect(domain);
        }
    }

    /// <inheritdoc/>
    public async Task<DomainJobProgress?> FindJobAsync(Guid domain, CancellationToken cancellationToken) =>
        await CallAsync(domain, handle => handle.GetJobAsync(cancellationToken), cancellationToken) is { } job
            ? new DomainJobProgress(job.MemoryTotal, job.MemoryRemaining, job.MemoryProcessed, job.MemoryBytesPerSecond)
            : null;

    /// <inheritdoc/>
    public async Task<TimeSpan?> FindPauseAsync(Guid domain, CancellationToken cancellationToken) =>
        await CallAsync(domain, handle => handle.GetLastJobAsync(cancellationToken), cancellationToken) is { DowntimeMs: { } pause } ? TimeSpan.FromMilliseconds(pause) : null;

    /// <inheritdoc/>
    public Task AbortMigrationAsync(Guid domain, CancellationToken cancellationToken) =>
        CallAsync(domain, handle => Completed(handle.AbortJobAsync(cancellationToken)), cancellationToken);

    /// <inheritdoc/>
    public Task ResumeAsync(Guid domain, CancellationToken cancellationToken) =>
        CallAsync(domain, handle => Completed(handle.ResumeAsync(cancellationToken)), cancellationToken);

    /// <inheritdoc/>
    public Task<bool> GetAutostartAsync(Guid domain, CancellationToken cancellationToken) =>
        CallAsync(domain, handle => handle.GetAutostartAsync(cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public Task SetAutostartAsync(Guid domain, bool autostart, CancellationToken cancellationToken) =>
        CallAsync(domain, handle => Completed(handle.SetAutostartAsync(autostart, cancellationToken)), cancellationToken);

    /// <inheritdoc/>
    public async Task RideOutAsync(Guid domain, string target, NbdAddress export, TimeSpan reconnectDelay, CancellationToken cancellationToken)
    {
        const string spare = "streamservice-spare";
        var (_, disk) = await FindDiskAsync(domain, target, cancellationToken);
        if (disk.Alias is not { } alias || disk.BackingChain.Count != 1)
            return;
        var monitor = new Monitor(this, domain);
        await TranslateAsync(async () =>
        {
            // While a pull is under way its chain is frozen; it is short, since all is populated by then.
            if ((await monitor.QueryBlockJobsAsync(cancellationToken)).Count > 0
                || FindExportNodes(await monitor.QueryBlockAsync(cancellationToken), await monitor.QueryBlockGraphAsync(cancellationToken), alias) is not var (format, file))
                return false;
            // Twice, so that in the end the node bears the name by which libvirt knows it. A former attempt may have stopped half way.
            var storage = file == spare ? format.Replace("-format", "-storage", StringComparison.Ordinal) : file;
            if (file != spare)
                await PutAsync(spare, storage);
            await PutAsync(storage, spare);
            return true;

            async Task PutAsync(string added, string removed)
            {
                await TryDeleteNodeAsync(monitor, added, cancellationToken);
                // libvirt's name for the certificates of that node.
                await monitor.BlockdevAddAsync(export.ToOptions(added, reconnectDelay, $"obj{storage}_tls0"), cancellationToken);
                await monitor.ReopenRawAsync(format, added, cancellationToken);
                await monitor.BlockdevDelAsync(removed, cancellationToken);
            }
        }, domain);
    }

    /// <inheritdoc/>
    public async Task RecordWritesAsync(Guid domain, string target, string bitmap, CancellationToken cancellationToken)
    {
        var node = await FindNodeOfAsync(domain, target, cancellationToken);
        try
        {
            await new Monitor(this, domain).DirtyBitmapAddAsync(node, bitmap, BitmapGranularity, disabled: false, cancellationToken);
        }
        catch (QmpCommandException refused) when (refused.Description.Contains("already exists", StringComparison.Ordinal))
        {
            // A former service began it.
        }
    }

    /// <inheritdoc/>
    public async Task<RecordedWrites?> ExportRecordedAsync(Guid domain, string target, string bitmap, CancellationToken cancellationToken)
    {
        var monitor = new Monitor(this, domain);
        var node = await FindNodeOfAsync(domain, target, cancellationToken);
        var copy = $"{bitmap}-{Guid.NewGuid():N}";
        // The lease keeps the server for as long as the export is there.
        var lease = await ExportDiskAsync(domain, target, evenOff: false, cancellationToken);
        try
        {
            return await TranslateAsync(async () =>
            {
                // QEMU does not export a bitmap that changes.
                await monitor.DirtyBitmapAddAsync(node, copy, BitmapGranularity, disabled: true, cancellationToken);
                try
                {
                    await monitor.DirtyBitmapMergeAsync(node, copy, bitmap, cancellationToken);
                    var (client, release) = await _nbdServers[domain].ExportBitmapAsync(node, copy, cancellationToken);
                    return new RecordedWrites(client, StreamService.Qemu.Nbd.NbdMetadataContext.DirtyBitmap(copy), async () =>
                    {
                        await release();
                        await TryRemoveBitmapAsync(monitor, node, copy);
                        await lease.DisposeAsync();
                    });
                }
                catch
                {
                    await TryRemoveBitmapAsync(monitor, node, copy);
                    throw;
                }
            }, domain);
        }
        catch (HypervisorException gone) when (gone.Text.Contains("Dirty bitmap", StringComparison.Ordinal) && gone.Text.Contains("not found", StringComparison.Ordinal))
        {
            await lease.DisposeAsync();
            return null;
        }
        catch
        {
            await lease.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task ForgetWritesAsync(Guid domain, string target, string bitmap, CancellationToken cancellationToken)
    {
        try
        {
            await TryRemoveBitmapAsync(new Monitor(this, domain), await FindNodeOfAsync(domain, target, cancellationToken), bitmap);
        }
        catch (Exception exception) when (exception is DomainNotRunningException or DomainNotFoundException or DiskNotFoundException)
        {
            // It went with its QEMU.
        }
    }

    /// <summary>What is known of a domain that comes over is from before.</summary>
    private void Expect(Guid domain)
    {
        Forget(domain);
        _summaries.Invalidate();
    }

    private async Task<bool> HasJobAsync(Guid domain, CancellationToken cancellationToken)
    {
        try
        {
            return await CallAsync(domain, handle => handle.GetJobAsync(cancellationToken), cancellationToken) is not null;
        }
        catch (Exception exception) when (exception is HypervisorException or DomainNotRunningException)
        {
            // The destination of a migration tells nothing of it, nor does a domain that is off.
            return false;
        }
    }

    private async Task TryPivotAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        try
        {
            await CallAsync(domain, handle => Completed(handle.BlockJobAbortAsync(target, async: false, pivot: true, cancellationToken)), cancellationToken);
        }
        catch (HypervisorException refused) when (refused.Text.Contains("not ready for pivot", StringComparison.Ordinal))
        {
            // The guest writes; the next look may find it in step.
        }
        Forget(domain);
    }

    /// <summary>With no QEMU about: qemu-img brings the data down, then the definition goes back to the image below.</summary>
    private async Task CommitOfflineAsync(Guid domain, string target, string overlay, ChainImage frozen, CancellationToken cancellationToken)
    {
        var root = XElement.Parse(await DescribeForMigrationAsync(domain, persistent: true, cancellationToken));
        var disk = root.Elements("devices").Elements("disk").FirstOrDefault(element => (string?)element.Element("target")?.Attribute("dev") == target);
        if (disk?.Element("source") is not { } source || (string?)source.Attribute("file") != overlay)
            return;
        // A domain that is started meanwhile holds the image's lock: then qemu-img refuses, and this is tried again.
        var committed = await ChildProcesses.RunAsync("qemu-img", ["commit", "-q", "-f", "qcow2", overlay], cancellationToken);
        if (committed.ExitCode != 0)
            throw new HypervisorException("CommitFailed", committed.Errors.Trim());
        source.SetAttributeValue("file", frozen.Source);
        disk.Element("driver")?.SetAttributeValue("type", frozen.Format);
        disk.Elements("backingStore").Remove();
        await DefineAsync(domain, root.ToString(), cancellationToken);
        Forget(domain);
    }

    private async Task<string> FindNodeOfAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        var (cache, disk) = await FindDiskAsync(domain, target, cancellationToken);
        return await TranslateAsync(() => FindNodeAsync(domain, disk.Alias ?? throw new DomainNotRunningException(cache.Domain.Name), cancellationToken), domain);
    }

    /// <summary>The raw node right below the active layer, and the one that it reads; null where the chain looks otherwise.</summary>
    private static (string Format, string Storage)? FindExportNodes(IReadOnlyList<BlockDevice> devices, BlockGraph graph, string alias)
    {
        if (ActiveLayer.Find(devices, graph, alias) is not { Chain: [_, var format] })
            return null;
        var id = graph.Nodes.First(node => node.Name == format).Id;
        var file = graph.Edges.FirstOrDefault(edge => edge.Parent == id && edge.Name == "file");
        return file is null ? null : (format, graph.Nodes.First(node => node.Id == file.Child).Name);
    }

    private static async Task TryDeleteNodeAsync(Monitor monitor, string node, CancellationToken cancellationToken)
    {
        try
        {
            await monitor.BlockdevDelAsync(node, cancellationToken);
        }
        catch (QmpCommandException)
        {
            // As a rule there is none.
        }
    }

    private static async Task TryRemoveBitmapAsync(Monitor monitor, string node, string bitmap)
    {
        try
        {
            await monitor.DirtyBitmapRemoveAsync(node, bitmap, CancellationToken.None);
        }
        catch (Exception exception) when (exception is QmpCommandException or LibvirtException)
        {
            // It went with its QEMU.
        }
    }

    private sealed class Folder(LibvirtHypervisor host, LibvirtFolder folder) : IHostFolder
    {
        public Task<long> GetAvailableBytesAsync(CancellationToken cancellationToken) => host.TranslateAsync(() => folder.GetAvailableBytesAsync(cancellationToken));

        public Task<bool> ExistsAsync(string name, CancellationToken cancellationToken) => host.TranslateAsync(() => folder.ExistsAsync(name, cancellationToken));

        public Task WriteFileAsync(string name, ReadOnlyMemory<byte> content, CancellationToken cancellationToken) =>
            host.TranslateAsync(() => Completed(folder.WriteFileAsync(name, content, cancellationToken)));

        public Task DeleteFileAsync(string name, CancellationToken cancellationToken) => host.TranslateAsync(() => folder.DeleteFileAsync(name, cancellationToken));

        public ValueTask DisposeAsync() => folder.DisposeAsync();
    }
}
