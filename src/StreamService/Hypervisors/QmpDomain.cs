using System.Security.Cryptography;
using System.Text;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>How a monitor socket answers.</summary>
internal enum MonitorState
{
    /// <summary>The first attempt to connect is under way.</summary>
    New,

    /// <summary>It answers.</summary>
    Connected,

    /// <summary>Another client holds it; this service waits in line.</summary>
    Busy,

    /// <summary>Nobody listens there: no QEMU, or one that ended.</summary>
    Dead,
}

/// <summary>
/// The QEMU or qemu-storage-daemon behind one monitor socket: one connection, kept, and opened again whenever it is lost.
/// </summary>
internal sealed partial class QmpDomain : IDisposable
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ShortestReconnectDelay = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestReconnectDelay = TimeSpan.FromSeconds(2);

    private readonly string _host;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Action<Guid> _changed;
    private readonly Func<bool>? _mayAsk;
    private readonly NbdServer _nbdServer;
    private readonly ExpiringValue<DomainInfo> _info;
    private readonly TaskCompletionSource _tried = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Link? _link;
    private DomainInfo? _lastSeen;
    private string _reason = "Not connected yet.";

    /// <param name="changed">Told when something happened to the domain. Must not block.</param>
    /// <param name="name">What to call a daemon, which has no name of its own; null for its socket's.</param>
    /// <param name="mayAsk">Whether anything may be asked of it now; null: always.</param>
    public QmpDomain(string host, string socketPath, string runtimeDirectory, TimeProvider time, ILogger logger, Action<Guid> changed, string? name = null, Func<bool>? mayAsk = null, bool shared = false)
    {
        _mayAsk = mayAsk;
        _host = host;
        SocketPath = socketPath;
        _time = time;
        _logger = logger;
        _changed = changed;
        Id = NameBasedId(socketPath);
        Name = name ?? Path.GetFileNameWithoutExtension(socketPath);
        _info = new(DescribeAsync, Lifetime, time);
        _nbdServer = new NbdServer(new Monitor(this), _ => Task.FromResult(Connected().Capabilities), Name, new NbdUnixListener(Path.Combine(runtimeDirectory, $"{Id}.sock"), socketPath + ".nbd", shared), time, logger);
    }

    /// <summary>A connection, and what is behind it.</summary>
    private sealed record Link(QmpClient Client, QemuCapabilities Capabilities);

    public string SocketPath { get; }

    /// <summary>QEMU's own UUID once it was asked; until then, and where it has none, one that its socket's path alone decides.</summary>
    public Guid Id { get; private set; }

    /// <summary>QEMU's own name once it was asked; until then, and where it has none, the one that it was given here.</summary>
    public string Name { get; private set; }

    /// <summary>Whether the QEMU behind the socket has ever been asked who it is.</summary>
    public bool IsIdentified { get; private set; }

    public MonitorState State { get; private set; } = MonitorState.New;

    /// <summary>Why it does not answer.</summary>
    public string Reason => Volatile.Read(ref _reason);

    /// <summary>QEMU or qemu-storage-daemon, and its version; null until first connected.</summary>
    public (string Kind, string Version)? Hypervisor { get; private set; }

    /// <summary>When the socket was last seen in its folder.</summary>
    public DateTimeOffset SeenAt { get; set; }

    /// <summary>Completes when the first attempt to connect has ended, in whatever way.</summary>
    public Task Tried => _tried.Task;

    /// <summary>Connects, and again whenever the connection is lost, until <paramref name="stopping"/>.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var delay = ShortestReconnectDelay;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await using var client = await QmpClient.ConnectAsync(SocketPath, new QmpClientOptions { Time = _time, Busy = () => Leave(MonitorState.Busy, "Another client holds the monitor.") }, stopping);
                await IdentifyAsync(client, stopping);
                delay = ShortestReconnectDelay;
                await ServeAsync(client, stopping);
                Leave(MonitorState.Dead, (await client.Closed).Message);
            }
            catch (QmpException exception)
            {
                Leave(exception is QmpBusyException ? MonitorState.Busy : MonitorState.Dead, exception.Message);
                await Task.Delay(delay, _time, stopping).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
                delay = delay * 2 < LongestReconnectDelay ? delay * 2 : LongestReconnectDelay;
            }
            catch (OperationCanceledException)
            {
            }
        }
    }

    /// <summary>To be called when <see cref="RunAsync"/> has returned, which gives back what QEMU holds for this service.</summary>
    public void Dispose() => _jobGate.Dispose();

    /// <summary>What is known of the domain now.</summary>
    public async Task<DomainInfo> DescribeAsync(bool orLastSeen, CancellationToken cancellationToken)
    {
        if (State == MonitorState.Connected)
            try
            {
                return _lastSeen = await _info.GetAsync(cancellationToken);
            }
            catch (Exception exception) when (exception is HostUnreachableException or DomainNotRunningException || (orLastSeen && exception is HypervisorException))
            {
                // Gone in between, or it does not answer: what was known last is shown as such.
            }
        // It ended before it could be asked for its disks, or somebody else has its monitor: not to know them is not to have none.
        if (_lastSeen is null && !orLastSeen && (IsIdentified || State == MonitorState.Busy))
            throw new HostUnreachableException(_host, $"monitor {SocketPath}: {Reason}");
        var state = State switch
        {
            MonitorState.Dead => DomainState.ShutOff,
            _ => _lastSeen?.State ?? DomainState.NoState,
        };
        return new DomainInfo(Id, Name, _host, state, [.. (_lastSeen?.Disks ?? []).Select(disk => disk with { Streamable = disk.Streamable && State != MonitorState.Dead })]);
    }

    private async Task IdentifyAsync(QmpClient client, CancellationToken cancellationToken)
    {
        var capabilities = await client.QueryCapabilitiesAsync(cancellationToken);
        if (!capabilities.Commands.Contains("x-debug-query-block-graph"))
            throw new QmpException($"QEMU {client.Greeting.Version} does not tell how its block nodes hang together (x-debug-query-block-graph).");
        if (capabilities.HasMachine)
        {
            Id = await client.QueryUuidAsync(cancellationToken) ?? NameBasedId(SocketPath);
            Name = await client.QueryNameAsync(cancellationToken) ?? Path.GetFileNameWithoutExtension(SocketPath);
        }
        Hypervisor = (capabilities.HasMachine ? "QEMU" : "qemu-storage-daemon", client.Greeting.Version.ToString());
        // With a job there it is the same process as before, and its nodes cannot be asked for now.
        if ((await client.QueryJobsAsync(cancellationToken)).Count == 0)
            Volatile.Write(ref _nodes, new Dictionary<string, InsertedNode>());
        // Whoever began one has seen the connection end, and given it up.
        _ownJobs.Clear();
        Volatile.Write(ref _link, new Link(client, capabilities));
        State = MonitorState.Connected;
        IsIdentified = true;
        _info.Invalidate();
        _tried.TrySetResult();
        HypervisorLog.MonitorConnected(_logger, _host, SocketPath, Hypervisor.Value.Kind, Hypervisor.Value.Version, Name);
        _changed(Id);
    }

    private void Leave(MonitorState state, string reason)
    {
        Volatile.Write(ref _link, null);
        Volatile.Write(ref _reason, reason);
        if (State != state)
            HypervisorLog.MonitorLost(_logger, _host, SocketPath, reason);
        var known = State == MonitorState.Connected;
        State = state;
        _info.Invalidate();
        _tried.TrySetResult();
        if (known)
            _changed(Id);
    }

    /// <summary>Heeds events and sweeps exports until the connection ends or the service stops.</summary>
    private async Task ServeAsync(QmpClient client, CancellationToken stopping)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var sweeping = SweepAsync(ended.Token);
        try
        {
            await foreach (var happened in client.Events.ReadAllAsync(stopping))
                Heed(happened);
        }
        finally
        {
            await ended.CancelAsync();
            await sweeping;
            // While there is still a connection to do it over.
            if (stopping.IsCancellationRequested)
                await _nbdServer.DisposeAsync();
        }
    }

    private void Heed(QmpEvent happened)
    {
        _info.Invalidate();
        // Others' jobs that end may be what a stream waits for. Ours and their many steps are not news, and a stream that
        // heeded the end of its own failed job would try again at once, for ever.
        var isNews = happened.Name is "STOP" or "RESUME" or "SHUTDOWN" or "DEVICE_DELETED" or "BLOCK_EXPORT_DELETED"
            || (happened.Name is "BLOCK_JOB_COMPLETED" or "BLOCK_JOB_CANCELLED"
                && happened.Text("device")?.StartsWith(NbdServer.ExportPrefix, StringComparison.Ordinal) != true);
        if (isNews)
            _changed(Id);
    }

    private async Task SweepAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(SweepInterval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken))
                try
                {
                    await _nbdServer.SweepAsync(cancellationToken);
                }
                catch (Exception exception) when (exception is QmpException or HostUnreachableException or DomainNotRunningException)
                {
                    // What is left there ends with its QEMU, or is cleaned up at the next lease.
                }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private Link Connected() => _mayAsk?.Invoke() == false ? throw new HostUnreachableException(_host, HostTerms.NoDriver) : Volatile.Read(ref _link) ?? throw (State == MonitorState.Dead && IsIdentified
        ? new DomainNotRunningException(Name)
        : new HostUnreachableException(_host, $"monitor {SocketPath}: {Reason}"));

    /// <summary>The one place where QEMU's errors become this layer's.</summary>
    private async Task<T> TranslateAsync<T>(Func<Link, Task<T>> call)
    {
        var link = Connected();
        try
        {
            return await call(link);
        }
        catch (QmpCommandException exception)
        {
            throw new HypervisorException(exception.Class, exception.Description, exception);
        }
        catch (QmpException exception)
        {
            throw new HostUnreachableException(_host, $"monitor {SocketPath}: {exception.Message}", exception);
        }
    }

    /// <summary>A UUID that is the same for a path whenever and wherever it is computed (RFC 9562, version 8).</summary>
    private static Guid NameBasedId(string path)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(path))[..16];
        hash[6] = (byte)((hash[6] & 0x0f) | 0x80);
        hash[8] = (byte)((hash[8] & 0x3f) | 0x80);
        return new Guid(hash, bigEndian: true);
    }

    /// <summary>QMP over whatever connection there is when a command is sent.</summary>
    private sealed class Monitor(QmpDomain domain) : IQmpMonitor
    {
        public Task<System.Text.Json.JsonElement> ExecuteAsync(string command, System.Text.Json.Nodes.JsonObject? arguments,
            IReadOnlyList<System.Runtime.InteropServices.SafeHandle>? files, CancellationToken cancellationToken) =>
            domain.Connected().Client.ExecuteAsync(command, arguments, files, cancellationToken);
    }
}
