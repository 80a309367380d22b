using System.Collections.Concurrent;

namespace StreamService.Hypervisors;

/// <summary>
/// A host whose QEMUs and qemu-storage-daemons are reached by their own monitor sockets: one
/// (<c>qmp+unix:///path/to.sock</c>), or all of a folder (<c>qmp+unix:///folder/*.sock</c>), as they come and go.
/// </summary>
/// <remarks>
/// Each socket is one domain. A QEMU serves one client of a socket at a time, and this service stays connected: it needs a
/// monitor of its own (QEMU takes any number of -qmp). A socket whose monitor somebody else holds is shown as a domain
/// without a known state, one that nobody answers as shut off; both are tried on.
/// </remarks>
public sealed class QmpHypervisor : IHypervisor
{
    /// <summary>The scheme of its URIs.</summary>
    public const string Scheme = "qmp+unix";

    private static readonly TimeSpan RescanInterval = TimeSpan.FromSeconds(1);

    /// <summary>How long a domain whose socket has gone is remembered: a QEMU that is started anew has it back by then.</summary>
    private static readonly TimeSpan ForgetAfter = TimeSpan.FromMinutes(1);

    private readonly string _name;
    private readonly string _uri;
    private readonly string _path;
    private readonly string _runtimeDirectory;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly bool _shared;
    private readonly ConcurrentDictionary<string, (QmpDomain Domain, Task Running, CancellationTokenSource Stop)> _domains = new();
    private string? _folderFault;
    private HostTerm? _term;
    private bool _scanned;

    /// <param name="runtimeDirectory">Folder of the NBD sockets, closed to all but this user.</param>
    /// <param name="shared">Whether other replicas of the service drive the host at other times.</param>
    public QmpHypervisor(string name, string uri, string runtimeDirectory, TimeProvider time, ILogger<QmpHypervisor> logger, bool shared = false)
    {
        _shared = shared;
        _name = name;
        _uri = uri;
        _path = Uri.UnescapeDataString(new Uri(uri).AbsolutePath);
        _runtimeDirectory = runtimeDirectory;
        _time = time;
        _logger = logger;
    }

    /// <inheritdoc/>
    public event Action<Guid?>? Changed;

    /// <inheritdoc/>
    public HostInfo Info
    {
        get
        {
            var domains = Domains().ToList();
            var kinds = domains.Select(domain => domain.Hypervisor).OfType<(string Kind, string Version)>().Distinct().Order().ToList();
            var faults = domains.Where(domain => domain.State != MonitorState.Connected).Select(domain => $"{domain.SocketPath}: {domain.Reason}").Order().ToList();
            var error = !_scanned ? "Not connected yet." : _folderFault ?? (faults.Count > 0 ? string.Join(" ", faults) : null);
            // A folder is reached when it can be read, however many of its monitors answer.
            var connected = _scanned && _folderFault is null && (IsFolder || faults.Count == 0);
            return new HostInfo(_name, _uri, connected ? HostState.Connected : HostState.Unreachable,
                Text(kinds.Select(kind => kind.Kind)), Text(kinds.Select(kind => kind.Version)), LibvirtVersion: null, error);

            static string? Text(IEnumerable<string> parts) => string.Join(", ", parts.Distinct()) is { Length: > 0 } text ? text : null;
        }
    }

    private bool IsFolder => Path.GetFileName(_path).Contains('*', StringComparison.Ordinal);

    /// <summary>Whether a host's URI is one of these, and why not where it is meant to be.</summary>
    /// <param name="fault">What is wrong with it; null where nothing is.</param>
    public static bool Takes(Uri uri, out string? fault)
    {
        fault = null;
        if (uri.Scheme != Scheme)
            return false;
        var path = Uri.UnescapeDataString(uri.AbsolutePath);
        if (uri.Host.Length > 0 || path.Length < 2)
            fault = "must have three slashes and an absolute path: qmp+unix:///folder/monitor.sock";
        else if (Path.GetDirectoryName(path)!.Contains('*', StringComparison.Ordinal))
            fault = "may have * in the file's name only: qmp+unix:///folder/*.sock";
        return true;
    }

    /// <inheritdoc/>
    public async Task RunAsync(HostTerm term, CancellationToken stopping)
    {
        Volatile.Write(ref _term, term);
        using var timer = new PeriodicTimer(RescanInterval, _time);
        try
        {
            do
            {
                Scan(stopping);
                if (!_scanned)
                {
                    // Before the first answers nobody can say that a domain is not there.
                    await Task.WhenAll(Domains().Select(domain => domain.Tried)).WaitAsync(stopping);
                    _scanned = true;
                    Changed?.Invoke(null);
                }
            }
            while (await timer.WaitForNextTickAsync(stopping));
        }
        catch (OperationCanceledException)
        {
        }
        await Task.WhenAll(_domains.Values.Select(entry => entry.Running));
        foreach (var (domain, _, stop) in _domains.Values)
        {
            domain.Dispose();
            stop.Dispose();
        }
        _scanned = false;
        _domains.Clear();
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<DomainInfo>> ListDomainsAsync(CancellationToken cancellationToken)
    {
        ThrowUntilReached();
        var domains = await Task.WhenAll(Domains().Select(domain => domain.DescribeAsync(orLastSeen: true, cancellationToken)));
        // Two monitors of one QEMU are one domain.
        return [.. domains.GroupBy(domain => domain.Id).Select(same => same.FirstOrDefault(domain => domain.IsActive) ?? same.First()).OrderBy(domain => domain.Name, StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public async Task<DomainInfo?> FindDomainAsync(string idOrName, CancellationToken cancellationToken)
    {
        ThrowUntilReached();
        var found = Guid.TryParse(idOrName, out var id) ? Find(domain => domain.Id == id) : null;
        found ??= Find(domain => domain.Name == idOrName);
        if (found is not null)
            return await found.DescribeAsync(orLastSeen: false, cancellationToken);
        // Who is behind a busy monitor is not known: it may be the one that is asked for.
        if (Domains().FirstOrDefault(domain => !domain.IsIdentified && domain.State == MonitorState.Busy) is { } busy)
            throw new HostUnreachableException(_name, $"monitor {busy.SocketPath}: {busy.Reason}");
        return null;
    }

    /// <inheritdoc/>
    public Task<DiskExport> ExportDiskAsync(Guid domain, string target, bool evenOff, CancellationToken cancellationToken) => Get(domain).ExportDiskAsync(target, cancellationToken);

    /// <inheritdoc/>
    public Task<BlockJobInfo?> FindBlockJobAsync(Guid domain, string target, CancellationToken cancellationToken) => Get(domain).FindBlockJobAsync(target, cancellationToken);

    /// <inheritdoc/>
    public Task<INativeJob> BeginNativeJobAsync(Guid domain, string target, string? baseImage, long bandwidth, CancellationToken cancellationToken) =>
        Get(domain).BeginNativeJobAsync(target, baseImage, bandwidth, cancellationToken);

    /// <inheritdoc/>
    public Task FlushWithoutExportAsync(Guid domain, string target, CancellationToken cancellationToken) => Get(domain).FlushWithoutExportAsync(target, cancellationToken);

    /// <inheritdoc/>
    public Task<GuestIo> GetGuestIoAsync(Guid domain, string target, CancellationToken cancellationToken) => Get(domain).GetGuestIoAsync(target, cancellationToken);

    /// <inheritdoc/>
    public async Task<LayerSpace?> FindSpaceAsync(Guid domain, string target, CancellationToken cancellationToken) =>
        (await Get(domain).DescribeAsync(orLastSeen: false, cancellationToken)).FindDisk(target)?.Source is { } source ? LayerSpace.OfLocalFile(source) : null;

    private IEnumerable<QmpDomain> Domains() => _domains.Values.Select(entry => entry.Domain);

    private QmpDomain? Find(Func<QmpDomain, bool> match) =>
        Domains().Where(match).OrderByDescending(domain => domain.State == MonitorState.Connected).FirstOrDefault();

    private QmpDomain Get(Guid id)
    {
        ThrowUntilReached();
        return Find(domain => domain.Id == id) ?? throw new DomainNotFoundException(id.ToString());
    }

    private void ThrowUntilReached()
    {
        if (!_scanned || _folderFault is not null)
            throw new HostUnreachableException(_name, Info.LastError ?? "Not connected.");
        // One socket is the host itself.
        if (!IsFolder && Domains().FirstOrDefault(domain => !domain.IsIdentified) is { } only)
            throw new HostUnreachableException(_name, $"monitor {only.SocketPath}: {only.Reason}");
    }

    /// <summary>Takes up sockets that appeared, and forgets those that have been gone for long.</summary>
    private void Scan(CancellationToken stopping)
    {
        var now = _time.GetUtcNow();
        foreach (var path in ListSockets())
        {
            var entry = _domains.GetOrAdd(path, _ =>
            {
                var domain = new QmpDomain(_name, path, _runtimeDirectory, _time, _logger, id => Changed?.Invoke(id), mayAsk: () => Volatile.Read(ref _term)!.IsHeld, shared: _shared);
                var stop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
                return (domain, domain.RunAsync(stop.Token), stop);
            });
            entry.Domain.SeenAt = now;
        }
        foreach (var (path, (domain, _, stop)) in _domains)
            if (domain.State == MonitorState.Dead && domain.SeenAt != now && (!domain.IsIdentified || now - domain.SeenAt > ForgetAfter) && _domains.TryRemove(path, out _))
                stop.Cancel();
    }

    private IReadOnlyList<string> ListSockets()
    {
        if (!IsFolder)
            return [_path];
        try
        {
            var sockets = Directory.GetFiles(Path.GetDirectoryName(_path)!, Path.GetFileName(_path));
            _folderFault = null;
            // Ours, next to a daemon's monitor, is no monitor.
            return [.. sockets.Where(socket => !socket.EndsWith(".nbd", StringComparison.Ordinal))];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            _folderFault = exception.Message;
            return [];
        }
    }
}
