using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using StreamService.Qemu.Nbd;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>
/// The NBD server inside one QEMU, and our exports on it, one for each disk in use.
/// </summary>
/// <remarks>
/// A QEMU has one NBD server, which libvirt's own migration and backup want too: it is started for the first lease, shared
/// by all disks, and given back <see cref="KeepWarm"/> after the last lease. A service that was killed leaves its server
/// behind in QEMU; the next one cleans up before it starts its own.
/// </remarks>
/// <param name="monitor">Of that QEMU.</param>
/// <param name="findCapabilities">What that QEMU can do; asked whenever the server is started.</param>
/// <param name="listener">Where that QEMU's NBD server listens.</param>
internal sealed class NbdServer(
    IQmpMonitor monitor,
    Func<CancellationToken, Task<QemuCapabilities>> findCapabilities,
    string domain,
    NbdListener listener,
    TimeProvider time,
    ILogger logger) : IAsyncDisposable
{
    /// <summary>How long an export without leases stays, so that a caller who steps pays for it once.</summary>
    public static readonly TimeSpan KeepWarm = TimeSpan.FromSeconds(5);

    /// <summary>Begins the id of every export of ours.</summary>
    public const string ExportPrefix = "streamservice-";

    /// <summary>How long QEMU may take to let go of a deleted export whose requests wait for a dead source.</summary>
    private static readonly TimeSpan ExportLetGo = TimeSpan.FromSeconds(1);

    private static readonly NbdClientOptions ClientOptions = new()
    {
        MetadataContexts = [NbdMetadataContext.BaseAllocation, NbdMetadataContext.AllocationDepth],
        ConnectTimeout = TimeSpan.FromSeconds(5),
    };

    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly Dictionary<string, Entry> _exports = [];
    private bool _started;

    private sealed class Entry(string id, NbdClient warm)
    {
        public string Id => id;
        public NbdClient Warm => warm;
        public int Leases { get; set; }
        public DateTimeOffset IdleSince { get; set; }
    }

    /// <summary>Leases the export of <paramref name="target"/>, making it where there is none or its QEMU let go of it.</summary>
    /// <param name="target">The disk's target, by which exports are told apart.</param>
    /// <param name="findNode">Finds the node to export: the disk's active layer.</param>
    /// <exception cref="ExportUnavailableException">This QEMU cannot, or somebody else uses its NBD server.</exception>
    public async Task<DiskExport> LeaseAsync(string target, Func<CancellationToken, Task<string>> findNode, CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            var entry = await FindAsync(target, cancellationToken);
            entry ??= _exports[target] = await AddAsync(target, findNode, cancellationToken);
            lock (entry)
                entry.Leases++;
            var id = entry.Id;
            return new DiskExport(entry.Warm, token => ConnectAsync(id, token), () =>
            {
                Release(entry);
                return ValueTask.CompletedTask;
            });
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Exports a node together with one of its bitmaps, beside the lease that keeps the server.</summary>
    /// <returns>A connection to it, and what ends both.</returns>
    public async Task<(NbdClient Client, Func<ValueTask> Release)> ExportBitmapAsync(string node, string bitmap, CancellationToken cancellationToken)
    {
        var id = $"{ExportPrefix}{bitmap}";
        await monitor.BlockExportAddAsync(id, node, id, bitmap: bitmap, cancellationToken: cancellationToken);
        try
        {
            var client = await ConnectAsync(id, cancellationToken, NbdMetadataContext.DirtyBitmap(bitmap));
            return (client, async () =>
            {
                await client.DisposeAsync();
                await EndAsync();
            });
        }
        catch
        {
            await EndAsync();
            throw;
        }

        async Task EndAsync()
        {
            await TryAsync(() => monitor.BlockExportDelAsync(id, hard: true, CancellationToken.None));
            // The bitmap is free once the export is gone.
            while ((await ListAsync(CancellationToken.None)).Any(export => export.Id == id))
                await Task.Delay(TimeSpan.FromMilliseconds(20), time, CancellationToken.None);
        }
    }

    /// <summary>Takes down what nobody has leased for <see cref="KeepWarm"/>.</summary>
    /// <returns>Whether an export is left.</returns>
    public async Task<bool> SweepAsync(CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            var idleBefore = time.GetUtcNow() - KeepWarm;
            foreach (var (target, entry) in _exports.ToList())
                if (entry.Leases == 0 && entry.IdleSince <= idleBefore)
                    await RemoveAsync(target, entry, cancellationToken);
            if (_exports.Count == 0 && _started)
                await StopAsync(cancellationToken);
            return _started;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Takes down everything, for a service that stops. Whatever fails is left to the next service's clean-up.</summary>
    public async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(5), time);
        try
        {
            await _gate.WaitAsync(deadline.Token);
            foreach (var (target, entry) in _exports.ToList())
                await RemoveAsync(target, entry, deadline.Token);
            if (_started)
                await StopAsync(deadline.Token);
        }
        catch (Exception exception)
        {
            // The domain has ended, or its host is away: a service that stops has nobody left to tell.
            HypervisorLog.NbdServerLeftBehind(logger, domain, exception.Message);
        }
    }

    private void Release(Entry entry)
    {
        // The gate is not taken: a release must never wait behind a monitor that does not answer.
        lock (entry)
        {
            entry.IdleSince = time.GetUtcNow();
            entry.Leases--;
        }
    }

    /// <summary>The export that is there; null where it must be made, for the first time or again after its QEMU's end.</summary>
    private async Task<Entry?> FindAsync(string target, CancellationToken cancellationToken)
    {
        foreach (var (name, broken) in _exports.Where(export => !export.Value.Warm.IsConnected).ToList())
            await RemoveAsync(name, broken, cancellationToken);
        // All gone means that QEMU ended, and its server with it; where it did not, the next start cleans up.
        if (_exports.Count == 0)
            _started = false;
        return _exports.GetValueOrDefault(target);
    }

    private async Task<Entry> AddAsync(string target, Func<CancellationToken, Task<string>> findNode, CancellationToken cancellationToken)
    {
        var node = await findNode(cancellationToken);
        if (!_started)
            await StartAsync(cancellationToken);

        // An export whose requests hang in a dead source outlives its deletion: ids are never used twice.
        var id = $"{ExportPrefix}{target}-{Guid.NewGuid():N}";
        try
        {
            await monitor.BlockExportAddAsync(id, node, id, cancellationToken: cancellationToken);
        }
        catch (QmpCommandException refused)
        {
            throw new ExportUnavailableException(refused.Class, $"QEMU does not export disk '{target}' of domain '{domain}': {refused.Description}", refused);
        }
        try
        {
            return new Entry(id, await ConnectAsync(id, cancellationToken));
        }
        catch (Exception exception)
        {
            await monitor.BlockExportDelAsync(id, hard: true, CancellationToken.None);
            // The monitor answers, so the machine does: its port is closed to us, or its certificate does not please.
            if (exception is NbdException && listener.EndPoint is IPEndPoint)
                throw new ExportUnavailableException("NotReachable", $"Disk '{target}' of domain '{domain}' is exported, but cannot be reached: {exception.Message}", exception);
            throw;
        }
    }

    private async Task RemoveAsync(string target, Entry entry, CancellationToken cancellationToken)
    {
        _exports.Remove(target);
        await entry.Warm.DisposeAsync();
        try
        {
            await monitor.BlockExportDelAsync(entry.Id, hard: true, cancellationToken);
        }
        catch (QmpCommandException)
        {
            // Gone already, with the device or its QEMU.
        }
    }

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        var capabilities = await findCapabilities(cancellationToken);
        if (!capabilities.AllocationDepth)
            throw new ExportUnavailableException("CommandNotFound", $"The QEMU of domain '{domain}' is too old: its exports do not tell the allocation depth.");
        await CleanUpAfterPredecessorAsync(capabilities, cancellationToken);
        try
        {
            await listener.OpenAsync(monitor, capabilities, cancellationToken);
        }
        catch (QmpCommandException refused)
        {
            throw new ExportUnavailableException(refused.Class,
                $"QEMU has one NBD server, and that of domain '{domain}' cannot be used; somebody else has it, maybe (a migration or a backup): {refused.Description}.", refused);
        }
        _started = true;
        HypervisorLog.NbdServerStarted(logger, domain);
    }

    private async Task CleanUpAfterPredecessorAsync(QemuCapabilities capabilities, CancellationToken cancellationToken)
    {
        var exports = await ListAsync(cancellationToken);
        var ours = exports.Where(export => export.Id.StartsWith(ExportPrefix, StringComparison.Ordinal)).ToList();
        if (ours.Count == 0 && !await listener.IsLeftOverAsync(monitor, capabilities, cancellationToken))
            return;
        foreach (var export in ours)
            await TryAsync(() => monitor.BlockExportDelAsync(export.Id, hard: true, cancellationToken));
        if (exports.Count == ours.Count && await GoneAsync(cancellationToken))
            await TryAsync(() => monitor.NbdServerStopAsync(cancellationToken));
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        // Stopping the server waits in QEMU's main loop for every export to go, and the guest waits with it: never
        // while one of them still has a request in a source that does not answer. The next sweep tries again.
        if (!await GoneAsync(cancellationToken))
            return;
        await TryAsync(() => monitor.NbdServerStopAsync(cancellationToken));
        await listener.CloseAsync(monitor, cancellationToken);
        _started = false;
        HypervisorLog.NbdServerStopped(logger, domain);
    }

    private async Task<bool> GoneAsync(CancellationToken cancellationToken)
    {
        var deadline = time.GetUtcNow() + ExportLetGo;
        while ((await ListAsync(cancellationToken)).Count > 0)
        {
            if (time.GetUtcNow() > deadline)
                return false;
            await Task.Delay(TimeSpan.FromMilliseconds(20), time, cancellationToken);
        }
        return true;
    }

    /// <summary>The exports over the NBD server: a daemon's other ones (vhost-user-blk, FUSE) have nothing to do with it.</summary>
    private async Task<IReadOnlyList<BlockExport>> ListAsync(CancellationToken cancellationToken) =>
        [.. (await monitor.QueryBlockExportsAsync(cancellationToken)).Where(export => export.Type == "nbd")];

    private static async Task TryAsync(Func<Task> command)
    {
        try
        {
            await command();
        }
        catch (QmpCommandException)
        {
            // QEMU has let go of it by itself.
        }
    }

    private async Task<NbdClient> ConnectAsync(string export, CancellationToken cancellationToken, params IEnumerable<string> contexts) =>
        await NbdClient.ConnectAsync(
            listener.EndPoint, export, ClientOptions with { MetadataContexts = [.. ClientOptions.MetadataContexts, .. contexts], TlsOptions = FindTls() }, cancellationToken);

    private SslClientAuthenticationOptions? FindTls()
    {
        try
        {
            return listener.FindTls();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new ExportUnavailableException("CertificatesUnusable", $"The certificates for TLS cannot be used: {exception.Message}", exception);
        }
    }
}
