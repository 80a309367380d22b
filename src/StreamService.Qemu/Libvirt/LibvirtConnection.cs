using System.Runtime.InteropServices;

namespace StreamService.Qemu.Libvirt;

/// <summary>
/// One live connection to a libvirt daemon. It does not come back: once <see cref="Closed"/> is complete,
/// open another.
/// </summary>
/// <remarks>
/// No call blocks its caller: each runs on a thread of the connection's own and is waited for no longer than its limit.
/// Every call throws <see cref="LibvirtException"/> where libvirt refuses or does not answer, <see cref="OperationCanceledException"/>
/// where it is cancelled, and <see cref="ObjectDisposedException"/> after <see cref="DisposeAsync"/>. A call that was
/// cancelled or timed out may still be carried out by the daemon.
/// </remarks>
public sealed partial class LibvirtConnection : IAsyncDisposable
{
    private static readonly TimeSpan DisposeTimeout = TimeSpan.FromSeconds(5);

    private readonly ConnectHandle _handle;
    private readonly EventHub _hub;
    private readonly NativeThreads _threads;

    /// <summary>
    /// Ordinary calls are made one after the other, and none more while one hangs: libvirt before 10.3 reads freed memory when
    /// a connection with several calls under way breaks (CVE-2024-4418), and takes the process with it.
    /// </summary>
    private readonly NativeThreads _ordinary;
    private int _disposed;

    private LibvirtConnection(
        string uri, LibvirtConnectionOptions options, NativeThreads threads, ConnectHandle handle, EventHub hub)
    {
        Uri = uri;
        Options = options;
        _threads = threads;
        _ordinary = new NativeThreads(size: 1, options.Time, maxStuck: 0);
        _handle = handle;
        _hub = hub;
    }

    /// <summary>The URI it was opened with.</summary>
    public string Uri { get; }

    /// <summary>Completes when the connection is gone, with the reason; never fails.</summary>
    public Task<LibvirtCloseReason> Closed => _hub.Closed;

    /// <summary>Native calls that have not returned though their callers have left.</summary>
    public int StuckCalls => _threads.Stuck + _ordinary.Stuck;

    internal LibvirtConnectionOptions Options { get; }

    /// <summary>Stays the connection's: for calls that need two connections.</summary>
    internal ConnectHandle Handle => _handle;

    /// <summary>Opens a connection, turns keepalive on and registers for events.</summary>
    /// <param name="uri">A libvirt URI, such as qemu:///system.</param>
    /// <exception cref="LibvirtException">Not reachable, refused, not in time, or libvirt is not installed.</exception>
    public static async Task<LibvirtConnection> OpenAsync(
        string uri, LibvirtConnectionOptions? options = null, CancellationToken cancellationToken = default)
    {
        // libvirt takes an empty URI for whatever hypervisor it finds first.
        ArgumentException.ThrowIfNullOrWhiteSpace(uri);
        options ??= new LibvirtConnectionOptions();
        var threads = new NativeThreads(options.Threads, options.Time);
        try
        {
            return await threads.RunAsync(
                $"Connecting to {uri}", () => Open(uri, options, threads), options.ConnectTimeout, cancellationToken);
        }
        catch
        {
            threads.Close();
            throw;
        }
    }

    /// <summary>Begins to collect events: what happens from now on is in it. Ends with the connection.</summary>
    public LibvirtSubscription Subscribe() => _hub.Subscribe(Options.EventBacklog);

    /// <summary>The host name of the machine the daemon runs on.</summary>
    public unsafe Task<string> GetHostNameAsync(CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virConnectGetHostname),
            () => TakeText(NativeMethods.virConnectGetHostname(_handle), nameof(NativeMethods.virConnectGetHostname)),
            cancellationToken);

    /// <summary>The hypervisor's type and version.</summary>
    public unsafe Task<HypervisorVersion> GetHypervisorVersionAsync(CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virConnectGetVersion),
            () =>
            {
                var type = NativeMethods.virConnectGetType(_handle);
                if (type is null)
                    throw LibvirtException.FromLastError(nameof(NativeMethods.virConnectGetType));
                Check(NativeMethods.virConnectGetVersion(_handle, out var number), nameof(NativeMethods.virConnectGetVersion));
                return new HypervisorVersion(Marshal.PtrToStringUTF8((nint)type) ?? "", ToVersion(number));
            },
            cancellationToken);

    /// <summary>The version of the daemon's libvirt.</summary>
    public Task<Version> GetLibraryVersionAsync(CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virConnectGetLibVersion),
            () =>
            {
                Check(NativeMethods.virConnectGetLibVersion(_handle, out var number), nameof(NativeMethods.virConnectGetLibVersion));
                return ToVersion(number);
            },
            cancellationToken);

    /// <summary>All domains, running or not, in one request to the daemon (virConnectGetAllDomainStats with the state only).</summary>
    public Task<IReadOnlyList<DomainSummary>> ListDomainsAsync(CancellationToken cancellationToken = default) =>
        CallAsync(nameof(NativeMethods.virConnectGetAllDomainStats), () => DomainList.Read(_handle), cancellationToken);

    /// <summary>Finds a domain.</summary>
    /// <exception cref="LibvirtException"><see cref="LibvirtErrorCode.NoDomain"/> where there is none.</exception>
    public Task<LibvirtDomain> LookupByUuidAsync(Guid uuid, CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virDomainLookupByUUIDString),
            () => ToDomain(
                NativeMethods.virDomainLookupByUUIDString(_handle, uuid.ToString("D")),
                nameof(NativeMethods.virDomainLookupByUUIDString)),
            cancellationToken);

    /// <inheritdoc cref="LookupByUuidAsync"/>
    public Task<LibvirtDomain> LookupByNameAsync(string name, CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virDomainLookupByName),
            () => ToDomain(NativeMethods.virDomainLookupByName(_handle, name), nameof(NativeMethods.virDomainLookupByName)),
            cancellationToken);

    /// <summary>Defines a domain, or defines it anew. It is not started.</summary>
    public Task<LibvirtDomain> DefineXmlAsync(string xml, CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virDomainDefineXMLFlags),
            () => ToDomain(NativeMethods.virDomainDefineXMLFlags(_handle, xml, 0), nameof(NativeMethods.virDomainDefineXMLFlags)),
            cancellationToken,
            Options.LongCallTimeout);

    /// <summary>Closes the connection, within five seconds even where the daemon hangs.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _threads.Close();
        _ordinary.Close();
        _hub.Close(LibvirtCloseReason.Client);
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var closing = new Thread(() =>
        {
            _hub.Unregister(_handle);
            _handle.Dispose();
            closed.SetResult();
        })
        { IsBackground = true, Name = "libvirt close" };
        closing.Start();
        try
        {
            await closed.Task.WaitAsync(DisposeTimeout);
        }
        catch (TimeoutException)
        {
            // The daemon hangs. The thread ends when the keepalive does.
        }
    }

    /// <summary>Makes a native call; <paramref name="timeout"/> is the ordinary limit where it is null.</summary>
    internal Task<T> CallAsync<T>(
        string function, Func<T> call, CancellationToken cancellationToken, TimeSpan? timeout = null, bool ownThread = false)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        var threads = timeout is null && !ownThread ? _ordinary : _threads;
        return threads.RunAsync(function, () => CallNative(call), timeout ?? Options.CallTimeout, cancellationToken, ownThread);
    }

    /// <summary>
    /// libvirt does not call back about every end of a connection: not where the daemon drops it while a call is under way. A call
    /// that fails over it looks for itself.
    /// </summary>
    private T CallNative<T>(Func<T> call)
    {
        try
        {
            return call();
        }
        catch (LibvirtException exception) when (exception.IsConnectionFailure)
        {
            if (NativeMethods.virConnectIsAlive(_handle) == 0)
                _hub.Close(LibvirtCloseReason.Error);
            throw;
        }
    }

    internal static void Check(int result, string function)
    {
        if (result < 0)
            throw LibvirtException.FromLastError(function);
    }

    /// <summary>Copies and frees text that libvirt has allocated; null means that the call failed.</summary>
    internal static unsafe string TakeText(byte* text, string function)
    {
        if (text is null)
            throw LibvirtException.FromLastError(function);
        try
        {
            return Marshal.PtrToStringUTF8((nint)text) ?? "";
        }
        finally
        {
            NativeMemory.Free(text);
        }
    }

    private static LibvirtConnection Open(string uri, LibvirtConnectionOptions options, NativeThreads threads)
    {
        EventLoop.EnsureStarted();
        var handle = NativeMethods.virConnectOpen(uri);
        if (handle.IsInvalid)
            throw LibvirtException.FromLastError(nameof(NativeMethods.virConnectOpen));

        var hub = new EventHub();
        try
        {
            if (options.KeepAliveSeconds > 0
                && NativeMethods.virConnectSetKeepAlive(handle, options.KeepAliveSeconds, (uint)options.KeepAliveCount) < 0)
            {
                var error = LibvirtException.FromLastError(nameof(NativeMethods.virConnectSetKeepAlive));
                // A driver inside this process has no connection to keep alive.
                if (error.Code != LibvirtErrorCode.NoSupport)
                    throw error;
            }

            hub.Register(handle);
            return new LibvirtConnection(uri, options, threads, handle, hub);
        }
        catch
        {
            hub.Unregister(handle);
            handle.Dispose();
            throw;
        }
    }

    private LibvirtDomain ToDomain(DomainHandle handle, string function)
    {
        if (handle.IsInvalid)
            throw LibvirtException.FromLastError(function);
        // Fresh and owned here: nobody else can free it meanwhile.
        var (uuid, name) = DomainList.Identify(handle.DangerousGetHandle());
        return new LibvirtDomain(this, handle, uuid, name);
    }

    /// <summary>libvirt writes versions as 1,000,000 * major + 1,000 * minor + release (libvirt-host.h).</summary>
    private static Version ToVersion(nuint number) =>
        new((int)(number / 1_000_000), (int)(number / 1_000 % 1_000), (int)(number % 1_000));
}
