using System.Collections.Concurrent;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

// A domain's disks: a QEMU's guest devices, a qemu-storage-daemon's top nodes.
internal sealed partial class QmpDomain
{
    private readonly SemaphoreSlim _jobGate = new(1, 1);
    private readonly ConcurrentDictionary<string, bool> _ownJobs = new();
    private IReadOnlyDictionary<string, InsertedNode> _nodes = new Dictionary<string, InsertedNode>();

    /// <summary>A disk, and how QEMU knows it.</summary>
    /// <param name="Chain">Node names, the active layer's first; as many as the disk has images.</param>
    /// <param name="Device">The guest device; null in a qemu-storage-daemon.</param>
    private sealed record Disk(DiskInfo Info, IReadOnlyList<string> Chain, BlockDevice? Device);

    /// <inheritdoc cref="IHypervisor.ExportDiskAsync"/>
    public Task<DiskExport> ExportDiskAsync(string target, CancellationToken cancellationToken) =>
        TranslateAsync(_ => _nbdServer.LeaseAsync(target, async token => (await FindDiskAsync(target, token)).Chain[0], cancellationToken));

    /// <inheritdoc cref="IHypervisor.FindBlockJobAsync"/>
    public Task<BlockJobInfo?> FindBlockJobAsync(string target, CancellationToken cancellationToken) => TranslateAsync(async link =>
    {
        var disk = await FindDiskAsync(target, cancellationToken);
        var jobs = await link.Client.QueryJobsAsync(cancellationToken);
        if (jobs.Count == 0)
            return null;
        // Which job is at work on which nodes only the graph tells. A leftover of ours is no obstacle: it is ended first.
        var graph = await link.Client.QueryBlockGraphAsync(cancellationToken);
        var nodes = graph.Nodes.Where(node => disk.Chain.Contains(node.Name)).Select(node => node.Id).ToHashSet();
        var atWork = graph.Edges.Where(edge => nodes.Contains(edge.Child)).Select(edge => edge.Parent).ToHashSet();
        var names = graph.Nodes.Where(node => node.Type == "block-job" && atWork.Contains(node.Id)).Select(node => node.Name).ToHashSet();
        return jobs.FirstOrDefault(job => names.Contains(job.Id) && !job.Id.StartsWith(NbdServer.ExportPrefix, StringComparison.Ordinal)) is { } found
            ? new BlockJobInfo(found.Type, found.CurrentProgress, found.TotalProgress)
            : null;
    });

    /// <inheritdoc cref="IHypervisor.GetGuestIoAsync"/>
    public Task<GuestIo> GetGuestIoAsync(string target, CancellationToken cancellationToken) => TranslateAsync(async link =>
    {
        // A qemu-storage-daemon counts nothing for its exports: who uses them cannot be seen.
        var device = (await FindDiskAsync(target, cancellationToken)).Device
            ?? throw new HypervisorException("NotSupported", "A qemu-storage-daemon does not count what its exports are used for.");
        var stats = (await link.Client.QueryBlockStatsAsync(cancellationToken)).FirstOrDefault(stats => device.Qdev is null ? stats.Device == device.Device : stats.Qdev == device.Qdev)?.Stats
            ?? throw new DiskNotFoundException(Name, target);
        return new GuestIo(
            GuestOperations.Of(stats.ReadOperations, stats.ReadNanoseconds),
            GuestOperations.Of(stats.WriteOperations, stats.WriteNanoseconds),
            GuestOperations.Of(stats.FlushOperations, stats.FlushNanoseconds));
    });

    /// <inheritdoc cref="IHypervisor.FlushWithoutExportAsync"/>
    public Task FlushWithoutExportAsync(string target, CancellationToken cancellationToken) => TranslateAsync(async link =>
    {
        var device = (await FindDiskAsync(target, cancellationToken)).Device;
        if (device is null || !link.Capabilities.Commands.Contains("human-monitor-command"))
            throw new HypervisorException("NotSupported", $"Disk '{target}' of '{Name}' can be flushed over an NBD export only, and none can be made.");
        return await link.Client.FlushDeviceAsync(device, cancellationToken);
    });

    /// <inheritdoc cref="IHypervisor.BeginNativeJobAsync"/>
    public Task<INativeJob> BeginNativeJobAsync(string target, string? baseImage, long bandwidth, CancellationToken cancellationToken) => TranslateAsync(async link =>
    {
        var disk = await FindDiskAsync(target, cancellationToken);
        var baseNode = baseImage is null ? null : disk.Info.DepthOf(baseImage) is { } depth && depth <= disk.Chain.Count
            ? disk.Chain[depth - 1]
            : throw new HypervisorException("BaseNotInChain", $"QEMU knows no image '{baseImage}' below disk '{target}'.");
        HypervisorLog.NativeJobBegun(_logger, Name, target, baseImage);
        var stream = new QmpNativeJob(this, JobId(target));
        if ((await link.Client.QueryJobsAsync(cancellationToken)).Any(job => job.Id == stream.Id))
        {
            // It may have been meant for another base, and its source may have gone: beginning anew costs a look at the
            // map of the image, which already has what the old job populated.
            HypervisorLog.LeftoverEnded(_logger, Name, target);
            await new QmpNativeJob(this, stream.Id).AbortAsync(cancellationToken);
        }
        await _jobGate.WaitAsync(cancellationToken);
        try
        {
            _ownJobs[stream.Id] = true;
            await link.Client.BlockStreamAsync(stream.Id, disk.Chain[0], baseNode, bandwidth, cancellationToken: cancellationToken);
        }
        catch
        {
            _ownJobs.TryRemove(stream.Id, out _);
            throw;
        }
        finally
        {
            _jobGate.Release();
        }
        return (INativeJob)stream;
    });

    private async Task<DomainInfo> DescribeAsync(CancellationToken cancellationToken) => await TranslateAsync(async link =>
    {
        var state = link.Capabilities.HasMachine ? await link.Client.QueryStatusAsync(cancellationToken) : "running";
        return new DomainInfo(Id, Name, _host, state switch
        {
            "running" => DomainState.Running,
            "shutdown" => DomainState.ShuttingDown,
            "suspended" => DomainState.Suspended,
            // In all others the processors stand still and the process is there.
            _ => DomainState.Paused,
        }, [.. (await ListDisksAsync(link, cancellationToken)).Select(disk => disk.Info)]);
    });

    private async Task<Disk> FindDiskAsync(string target, CancellationToken cancellationToken) =>
        (await ListDisksAsync(Connected(), cancellationToken)).FirstOrDefault(disk => disk.Info.Target == target)
            ?? throw new DiskNotFoundException(Name, target);

    private async Task<IReadOnlyList<Disk>> ListDisksAsync(Link link, CancellationToken cancellationToken)
    {
        var graph = await link.Client.QueryBlockGraphAsync(cancellationToken);
        return link.Capabilities.HasMachine
            ? [.. (await link.Client.QueryBlockAsync(cancellationToken)).Select(device => Describe(device, graph))]
            : await ListNodesAsync(link, graph, cancellationToken);
    }

    private static Disk Describe(BlockDevice device, BlockGraph graph)
    {
        var images = new List<BlockImage>();
        for (var image = device.Inserted?.Image; image is not null; image = image.BackingImage)
            if (!ActiveLayer.IsFilter(image.Format))
                images.Add(image);
        var chain = ActiveLayer.Find(device, graph)?.Chain ?? [];
        return Describe(TargetOf(device), images, chain, readOnly: device.Inserted?.ReadOnly ?? true, device);
    }

    private static Disk Describe(string target, List<BlockImage> images, IReadOnlyList<string> chain, bool readOnly, BlockDevice? device) => new(
        new DiskInfo(
            target,
            images is [var top, ..] ? ImageSource.Of(top.Filename) : null,
            images is [{ Format: var format }, ..] ? format : "raw",
            images is [{ VirtualSize: var size }, ..] ? size : 0,
            images is [{ ClusterSize: { } cluster }, ..] ? (int)cluster : null,
            [.. images.Skip(1).Select(image => new ChainImage(ImageSource.Of(image.Filename), image.Format))],
            readOnly,
            Streamable: !readOnly && images.Count > 1),
        chain,
        device);

    /// <summary>
    /// The id that the device was given (<c>-device …,id=disk0</c>), which is a segment of its path; else the name of its
    /// drive; else what the path has in the id's place.
    /// </summary>
    private static string TargetOf(BlockDevice device)
    {
        var segments = device.Qdev?.Split('/', StringSplitOptions.RemoveEmptyEntries) ?? [];
        return segments switch
        {
            ["machine", "peripheral", var id, ..] => id,
            [var id] => id,
            _ when device.Device.Length > 0 => device.Device,
            ["machine", _, var unnamed, ..] => unnamed,
            _ => device.Inserted?.NodeName ?? "",
        };
    }

    /// <summary>The nodes that no other node uses: what a daemon has been given to export.</summary>
    private async Task<IReadOnlyList<Disk>> ListNodesAsync(Link link, BlockGraph graph, CancellationToken cancellationToken)
    {
        while (true)
        {
            var chains = TopNodes(graph).Select(top => (Top: top, Chain: ActiveLayer.ChainBelow(graph, top))).ToList();
            var nodes = Volatile.Read(ref _nodes);
            var known = chains.Where(disk => disk.Chain.All(nodes.ContainsKey)).ToList();
            if (known.Count == chains.Count || !await LearnAsync(link, cancellationToken))
                return [.. known.Select(disk => Describe(disk.Top, [.. disk.Chain.Select(node => nodes[node].Image)], disk.Chain, nodes[disk.Chain[0]].ReadOnly, device: null))];
            // What is told by the graph and what is known of its nodes must be of one moment.
            graph = await link.Client.QueryBlockGraphAsync(cancellationToken);
        }
    }

    private static IReadOnlyList<string> TopNodes(BlockGraph graph)
    {
        var drivers = graph.Nodes.Where(node => node.Type == "block-driver").ToDictionary(node => node.Id, node => node.Name);
        var used = graph.Edges.Where(edge => drivers.ContainsKey(edge.Parent)).Select(edge => edge.Child).ToHashSet();
        var tops = new List<string>();
        foreach (var top in drivers.Keys.Where(id => !used.Contains(id)))
        {
            // What nobody gave a name stands on top only as a job's own filter, or as what a job has just taken off a chain.
            long? at = top;
            for (var seen = new HashSet<long>(); at is { } id && drivers[id].StartsWith('#');)
                at = seen.Add(id)
                    ? graph.Edges.Where(edge => edge.Parent == id && edge.Name is "file" or "backing" && drivers.ContainsKey(edge.Child)).Select(edge => (long?)edge.Child).FirstOrDefault()
                    : null;
            if (at is { } named)
                tops.Add(drivers[named]);
        }
        return [.. tops.Distinct()];
    }

    /// <summary>Asks for all nodes; see <see cref="NodeDetails"/> for why that is done only when it must be.</summary>
    /// <returns>False where they must not be asked for now, because a job exists; what is known already stays usable.</returns>
    private async Task<bool> LearnAsync(Link link, CancellationToken cancellationToken)
    {
        await _jobGate.WaitAsync(cancellationToken);
        try
        {
            if (await NodeDetails.TryQueryAsync(link.Client, cancellationToken) is { } nodes)
            {
                Volatile.Write(ref _nodes, nodes);
                return true;
            }
            var jobs = await link.Client.QueryJobsAsync(cancellationToken);
            foreach (var job in jobs.Where(job => job.Id.StartsWith(NbdServer.ExportPrefix, StringComparison.Ordinal) && !_ownJobs.ContainsKey(job.Id)))
            {
                // What a killed service left: ended, for what it populated stays.
                HypervisorLog.LeftoverEnded(_logger, Name, job.Id);
                await new QmpNativeJob(this, job.Id).AbortAsync(cancellationToken);
            }
            if (jobs.FirstOrDefault(job => !job.Id.StartsWith(NbdServer.ExportPrefix, StringComparison.Ordinal)) is { } other && _nodes.Count == 0)
                throw new HypervisorException("JobPresent",
                    $"'{Name}' cannot safely be asked for its nodes while job '{other.Id}' ({other.Type}, {other.Status}) exists.");
            return jobs.Any(job => !_ownJobs.ContainsKey(job.Id)) && _nodes.Count == 0;
        }
        finally
        {
            _jobGate.Release();
        }
    }

    private static string JobId(string target) =>
        NbdServer.ExportPrefix + string.Concat(target.Select(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '.' or '_' ? character : '_'));
}
