using System.Collections.Concurrent;
using StreamService.Configuration;
using StreamService.Qemu.Libvirt;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>A host whose domains libvirt runs on QEMU.</summary>
/// <remarks>
/// One connection, opened again whenever it is lost. What libvirt says is kept for half a second at the most, and dropped
/// as soon as an event names the domain.
/// </remarks>
public sealed partial class LibvirtHypervisor : IHypervisor
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestReconnectDelay = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly string _name;
    private readonly string _uri;
    private readonly string _runtimeDirectory;
    private readonly MigrationOptions _migration;
    private readonly bool _shared;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<Guid, DomainCache> _domains = new();
    private readonly ConcurrentDictionary<Guid, NbdServer> _nbdServers = new();
    private readonly ConcurrentDictionary<Guid, SemaphoreSlim> _pulls = new();
    private readonly ConcurrentDictionary<string, QemuCapabilities> _capabilities = new();
    private readonly ExpiringValue<IReadOnlyList<DomainSummary>> _summaries;
    private HostInfo _info;
    private HostTerm? _term;
    private LibvirtConnection? _connection;

    /// <param name="migrationAddress">See <see cref="MigrationAddress"/>; null for what the URI says.</param>
    /// <param name="runtimeDirectory">Folder of the NBD sockets, closed to all but this user.</param>
    /// <param name="shared">Whether other replicas of the service drive the host at other times.</param>
    public LibvirtHypervisor(
        string name, string uri, string? migrationAddress, string runtimeDirectory, MigrationOptions migration, TimeProvider time, ILogger<LibvirtHypervisor> logger, bool shared = false)
    {
        _shared = shared;
        _name = name;
        _uri = uri;
        MigrationAddress = migrationAddress ?? (IsRemote ? HostOf(uri) : null);
        _runtimeDirectory = runtimeDirectory;
        _migration = migration;
        _time = time;
        _logger = logger;
        _info = new HostInfo(name, uri, HostState.Unreachable, null, null, null, "Not connected yet.");
        _images = new OfflineImages(time);
        _offline = new OfflineDisks(name, runtimeDirectory, time, logger, Forget);
        _offline.CleanUp();
        _summaries = new(token => CallAsync(connection => connection.ListDomainsAsync(token)), Lifetime, time);
    }

    /// <inheritdoc/>
    public event Action<Guid?>? Changed;

    /// <inheritdoc/>
    public HostInfo Info => Volatile.Read(ref _info);

    /// <summary>The host's address for migrations and for exports to other machines; null where nothing but the destination decides it.</summary>
    public string? MigrationAddress { get; }

    /// <summary>What is known of one domain, and its handle on the present connection.</summary>
    private sealed record DomainCache(LibvirtConnection Connection, LibvirtDomain Domain, ExpiringValue<DomainInfo> Info, ExpiringValue<DomainXml> Xml);

    /// <inheritdoc/>
    public async Task RunAsync(HostTerm term, CancellationToken stopping)
    {
        Volatile.Write(ref _term, term);
        var sweeping = SweepAsync(stopping);
        var delay = TimeSpan.FromSeconds(1);
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await using var connection = await LibvirtConnection.OpenAsync(_uri, new LibvirtConnectionOptions { Time = _time }, stopping);
                using var events = connection.Subscribe();
                var hypervisor = await connection.GetHypervisorVersionAsync(stopping);
                var libvirt = await connection.GetLibraryVersionAsync(stopping);
                Enter(connection, new HostInfo(_name, _uri, HostState.Connected, hypervisor.Type, hypervisor.Version.ToString(), libvirt.ToString(), null));
                HypervisorLog.Connected(_logger, _name, hypervisor.Type, Info.HypervisorVersion, Info.LibvirtVersion);
                delay = TimeSpan.FromSeconds(1);
                var reason = "The connection was lost.";
                try
                {
                    await foreach (var happened in events.Reader.ReadAllAsync(stopping))
                        Heed(happened);
                    reason = $"The connection was lost: {await connection.Closed}.";
                }
                finally
                {
                    // What is given back is given back over this connection.
                    if (stopping.IsCancellationRequested)
                        await sweeping;
                    Leave(reason);
                }
            }
            catch (LibvirtException exception)
            {
                Leave(exception.Message);
                HypervisorLog.Unreachable(_logger, _name, exception.Message, delay);
                await Task.Delay(delay, _time, stopping).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
                delay = delay * 2 < LongestReconnectDelay ? delay * 2 : LongestReconnectDelay;
            }
            catch (OperationCanceledException)
            {
            }
        }
        await sweeping;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<DomainInfo>> ListDomainsAsync(CancellationToken cancellationToken)
    {
        var summaries = await _summaries.GetAsync(cancellationToken);
        var domains = await Task.WhenAll(summaries.Select(summary => DescribeAsync(summary, cancellationToken)));
        return [.. domains.OfType<DomainInfo>()];
    }

    /// <inheritdoc/>
    public async Task<DomainInfo?> FindDomainAsync(string idOrName, CancellationToken cancellationToken)
    {
        var summaries = await _summaries.GetAsync(cancellationToken);
        var summary = Guid.TryParse(idOrName, out var id) ? summaries.FirstOrDefault(domain => domain.Uuid == id) : null;
        summary ??= summaries.FirstOrDefault(domain => domain.Name == idOrName);
        return summary is null ? null : await DescribeAsync(summary, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<DiskExport> ExportDiskAsync(Guid domain, string target, bool evenOff, CancellationToken cancellationToken)
    {
        var (cache, disk) = await FindDiskAsync(domain, target, cancellationToken);
        if (disk.Alias is not { } alias)
            return await ExportOfflineAsync(cache, domain, disk, evenOff, cancellationToken);
        var server = _nbdServers.GetOrAdd(domain, _ => new NbdServer(
            new Monitor(this, domain),
            token => FindCapabilitiesAsync(new Monitor(this, domain), token),
            cache.Domain.Name,
            IsRemote
                ? new NbdTcpListener(MigrationAddress!, _migration)
                : new NbdUnixListener(Path.Combine(_runtimeDirectory, $"{domain}.sock"), daemonSocket: null, _shared),
            _time,
            _logger));
        return await TranslateAsync(() => server.LeaseAsync(target, token => FindNodeAsync(domain, alias, token), cancellationToken), domain);
    }

    /// <inheritdoc/>
    public async Task<BlockJobInfo?> FindBlockJobAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        if (_offline.Find(domain, target) is { } daemon)
            return await daemon.FindBlockJobAsync(target, cancellationToken);
        return await CallAsync(domain, handle => handle.GetBlockJobInfoAsync(target, cancellationToken), cancellationToken) is { } job
            ? new BlockJobInfo(job.Type.ToString().ToLowerInvariant(), job.Current, job.End)
            : null;
    }

    /// <inheritdoc/>
    public async Task<GuestIo> GetGuestIoAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        if (_offline.Find(domain, target) is not null)
            return default;
        var stats = await CallAsync(domain, handle => handle.GetBlockStatsAsync(target, cancellationToken), cancellationToken);
        return new GuestIo(
            GuestOperations.Of(stats.ReadOperations, stats.ReadNanoseconds),
            GuestOperations.Of(stats.WriteOperations, stats.WriteNanoseconds),
            GuestOperations.Of(stats.FlushOperations, stats.FlushNanoseconds));
    }

    /// <inheritdoc/>
    public async Task<LayerSpace?> FindSpaceAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        if ((await FindDiskAsync(domain, target, cancellationToken)).Disk.Source is not { } source || !Path.IsPathRooted(source))
            return null;
        if (!IsRemote)
            return LayerSpace.OfLocalFile(source);
        try
        {
            var path = Path.GetDirectoryName(source)!;
            await using var folder = await OpenFolderAsync(path, cancellationToken);
            return new LayerSpace(path, await folder.GetAvailableBytesAsync(cancellationToken), AllocatedBytes: null);
        }
        catch (HypervisorException)
        {
            // A block device, or a host without storage pools.
            return null;
        }
    }

    /// <summary>Asked from one QEMU of each build: the answer is some 200 KiB, which libvirt takes 100 ms to pass on.</summary>
    private async Task<QemuCapabilities> FindCapabilitiesAsync(Monitor monitor, CancellationToken cancellationToken)
    {
        var build = await monitor.QueryBuildAsync(cancellationToken);
        return _capabilities.TryGetValue(build, out var known) ? known
            : _capabilities[build] = await monitor.QueryCapabilitiesAsync(cancellationToken);
    }

    private async Task<string> FindNodeAsync(Guid domain, string alias, CancellationToken cancellationToken)
    {
        var monitor = new Monitor(this, domain);
        var devices = await monitor.QueryBlockAsync(cancellationToken);
        var graph = await monitor.QueryBlockGraphAsync(cancellationToken);
        return ActiveLayer.Find(devices, graph, alias)?.NodeName
            ?? throw new HypervisorException("DeviceNotFound", $"QEMU has no medium in device '{alias}' of domain {domain}.");
    }

    private async Task<(DomainCache Cache, DomainDisk Disk)> FindDiskAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        var cache = await FindCacheAsync(domain, cancellationToken);
        var xml = await cache.Xml.GetAsync(cancellationToken);
        return (cache, xml.Disks.FirstOrDefault(disk => disk.Target == target) ?? throw new DiskNotFoundException(cache.Domain.Name, target));
    }

    private async Task<DomainInfo?> DescribeAsync(DomainSummary summary, CancellationToken cancellationToken)
    {
        try
        {
            var info = await (await FindCacheAsync(summary.Uuid, cancellationToken)).Info.GetAsync(cancellationToken);
            return await WithOpenDisksAsync(info with { Name = summary.Name }, cancellationToken);
        }
        catch (DomainNotFoundException)
        {
            // Undefined since the list was made.
            return null;
        }
    }

    private async Task<DomainCache> FindCacheAsync(Guid id, CancellationToken cancellationToken)
    {
        var connection = Connection();
        if (_domains.TryGetValue(id, out var cache) && cache.Connection == connection)
            return cache;
        var domain = await TranslateAsync(() => connection.LookupByUuidAsync(id, cancellationToken), id);
        cache = new DomainCache(
            connection,
            domain,
            new(token => DescribeAsync(id, token), Lifetime, _time),
            new(async token => DomainXml.Parse(await TranslateAsync(() => domain.GetXmlAsync(DomainXmlOptions.None, token), id)), Lifetime, _time));
        return _domains[id] = cache;
    }

    private async Task<DomainInfo> DescribeAsync(Guid id, CancellationToken cancellationToken)
    {
        var cache = await FindCacheAsync(id, cancellationToken);
        var (state, reason) = await CallAsync(id, handle => handle.GetStateAsync(cancellationToken), cancellationToken);
        var xml = await cache.Xml.GetAsync(cancellationToken);
        var info = new DomainInfo(id, xml.Name, _name, StateOf(state), []) { Labels = xml.Labels, IsMigrating = IsMigrating(state, reason) };
        // While libvirt's migration has the domain, the monitor's commands wait until that is over.
        var devices = info.IsActive && !info.IsMigrating ? await QueryBlockAsync(id, cancellationToken) : [];
        var disks = new List<DiskInfo>();
        foreach (var disk in xml.Disks)
        {
            var image = devices.FirstOrDefault(device => disk.Alias is { } alias && device.HasAlias(alias))?.Inserted?.Image;
            var readOnly = disk.ReadOnly || disk.Device is not ("disk" or "lun");
            var described = new DiskInfo(
                disk.Target,
                disk.Source,
                disk.Format ?? "raw",
                image?.VirtualSize ?? 0,
                (int?)image?.ClusterSize,
                [.. disk.BackingChain.Select(element => new ChainImage(element.Source ?? "unknown", element.Format ?? "raw"))],
                readOnly,
                info.IsActive && !info.IsMigrating && !readOnly && disk.BackingChain.Count > 0);
            disks.Add(info.IsActive ? described : await DescribeOfflineAsync(id, described, disk, cancellationToken));
        }
        return info with { Disks = disks };
    }

    private static bool IsMigrating(Qemu.Libvirt.DomainState state, int reason) =>
        state == Qemu.Libvirt.DomainState.Paused && (PausedReason)reason is PausedReason.Migration or PausedReason.StartingUp or PausedReason.PostCopy;

    private static DomainState StateOf(Qemu.Libvirt.DomainState state) => state switch
    {
        Qemu.Libvirt.DomainState.Running => DomainState.Running,
        Qemu.Libvirt.DomainState.Blocked => DomainState.Blocked,
        Qemu.Libvirt.DomainState.Paused => DomainState.Paused,
        Qemu.Libvirt.DomainState.Shutdown => DomainState.ShuttingDown,
        Qemu.Libvirt.DomainState.ShutOff => DomainState.ShutOff,
        Qemu.Libvirt.DomainState.Crashed => DomainState.Crashed,
        Qemu.Libvirt.DomainState.PmSuspended => DomainState.Suspended,
        _ => DomainState.NoState,
    };

    /// <summary>The devices as QEMU itself knows them; empty where it was shut down in between.</summary>
    private async Task<IReadOnlyList<BlockDevice>> QueryBlockAsync(Guid domain, CancellationToken cancellationToken)
    {
        try
        {
            return await TranslateAsync(() => new Monitor(this, domain).QueryBlockAsync(cancellationToken), domain);
        }
        catch (Exception exception) when (exception is HypervisorException or DomainNotRunningException)
        {
            return [];
        }
    }

    private async Task<long> FindSizeAsync(Guid domain, DomainDisk disk, CancellationToken cancellationToken)
    {
        // Not while it runs: libvirt would send query-named-block-nodes (see BeginNativeJobAsync).
        if (disk.Source is null || disk.Alias is not null)
            return 0;
        try
        {
            return (await CallAsync(domain, handle => handle.GetBlockInfoAsync(disk.Target, cancellationToken), cancellationToken)).Capacity;
        }
        catch (HypervisorException)
        {
            // The image of a domain that is off may be away.
            return 0;
        }
    }

    private void Enter(LibvirtConnection connection, HostInfo info)
    {
        Volatile.Write(ref _connection, connection);
        Volatile.Write(ref _info, info);
        _summaries.Invalidate();
        Changed?.Invoke(null);
    }

    private void Leave(string reason)
    {
        Volatile.Write(ref _connection, null);
        Volatile.Write(ref _info, Info with { State = HostState.Unreachable, LastError = reason });
        foreach (var id in _domains.Keys)
            if (_domains.TryRemove(id, out var cache))
                cache.Domain.Dispose();
        _summaries.Invalidate();
    }

    private void Heed(LibvirtEvent happened)
    {
        foreach (var job in _nativeJobs.Keys)
            job.Heed(happened);
        Forget(happened.Uuid);
        _summaries.Invalidate();
        Changed?.Invoke(happened.Uuid);
    }

    private void Forget(Guid domain)
    {
        if (!_domains.TryGetValue(domain, out var cache))
            return;
        cache.Info.Invalidate();
        cache.Xml.Invalidate();
    }

    private async Task SweepAsync(CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(SweepInterval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(stopping))
                foreach (var (domain, server) in _nbdServers)
                    await SweepAsync(domain, server, stopping);
        }
        catch (OperationCanceledException)
        {
        }
        await _offline.CloseAllAsync();
        await Task.WhenAll(_nbdServers.Values.Select(server => server.DisposeAsync().AsTask()));
        _nbdServers.Clear();
    }

    private async Task SweepAsync(Guid domain, NbdServer server, CancellationToken cancellationToken)
    {
        try
        {
            await TranslateAsync(async () =>
            {
                await server.SweepAsync(cancellationToken);
                return true;
            }, domain);
        }
        catch (Exception exception) when (exception is HostUnreachableException or HypervisorException or DomainNotFoundException or DomainNotRunningException)
        {
            // The domain or the host is away; what is left there ends with its QEMU, or is cleaned up at the next lease.
        }
    }

    private LibvirtConnection Connection() =>
        Volatile.Read(ref _term) is { IsHeld: false } ? throw new HostUnreachableException(_name, HostTerms.NoDriver)
        : Volatile.Read(ref _connection) ?? throw new HostUnreachableException(_name, Info.LastError ?? "Not connected.");

    private async Task<T> CallAsync<T>(Func<LibvirtConnection, Task<T>> call)
    {
        var connection = Connection();
        return await TranslateAsync(() => call(connection));
    }

    private async Task<T> CallAsync<T>(Guid domain, Func<LibvirtDomain, Task<T>> call, CancellationToken cancellationToken)
    {
        var cache = await FindCacheAsync(domain, cancellationToken);
        return await TranslateAsync(() => call(cache.Domain), domain);
    }

    private async Task<T> TranslateAsync<T>(Func<Task<T>> call, Guid? domain = null)
    {
        try
        {
            return await call();
        }
        catch (Exception exception) when (LibvirtErrors.Translate(exception, _name, domain) is { } translated)
        {
            if (translated is DomainNotFoundException)
                _domains.TryRemove(domain!.Value, out _);
            throw translated;
        }
    }

    /// <summary>QMP to a domain over whatever connection there is when a command is sent.</summary>
    private sealed class Monitor(LibvirtHypervisor host, Guid domain) : IQmpMonitor
    {
        public async Task<System.Text.Json.JsonElement> ExecuteAsync(string command, System.Text.Json.Nodes.JsonObject? arguments,
            IReadOnlyList<System.Runtime.InteropServices.SafeHandle>? files, CancellationToken cancellationToken)
        {
            var cache = await host.FindCacheAsync(domain, cancellationToken);
            return await new LibvirtMonitor(cache.Domain).ExecuteAsync(command, arguments, files, cancellationToken);
        }
    }
}
