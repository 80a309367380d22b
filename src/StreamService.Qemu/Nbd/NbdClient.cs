using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;

namespace StreamService.Qemu.Nbd;

/// <summary>
/// One connection to an export of an NBD server. Any number of callers may use it at once: up to
/// <see cref="NbdClientOptions.MaxInFlight"/> requests are in flight, further callers queue in order, and replies may
/// come in any order.
/// </summary>
/// <remarks>
/// A cancelled call is over at once; its request is still with the server, and counts as in flight until the reply came.
/// After the first break every pending and every later call throws <see cref="NbdException"/>: connect anew.
/// A thread of the connection's own blocks in reading replies, and a caller goes on there when its reply has come, so that
/// a request costs one switch of threads; through the thread pool it is four. Callers must not block on it.
/// </remarks>
public sealed class NbdClient : IAsyncDisposable
{
    /// <summary>How long to wait for NBD_CMD_DISC to get out; a server that reads nothing is left without it.</summary>
    private static readonly TimeSpan DisconnectTimeout = TimeSpan.FromSeconds(1);

    private readonly Socket _socket;
    private readonly NbdSession _session;
    private readonly TimeProvider _timeProvider;
    private readonly TimeSpan? _requestTimeout;
    private readonly NbdRequestSlot[] _slots;
    private readonly Channel<NbdRequestSlot> _free = Channel.CreateUnbounded<NbdRequestSlot>();
    private readonly NbdRequestWriter _writer;
    private readonly NbdReplyReader _replies;
    private readonly TaskCompletionSource _reading = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ITimer? _watch;
    private NbdException? _fault;
    private int _disposed;

    private NbdClient(Socket socket, NbdSession session, NbdClientOptions options)
    {
        _socket = socket;
        _session = session;
        _timeProvider = options.TimeProvider;
        _requestTimeout = options.RequestTimeout;
        _slots = [.. Enumerable.Range(0, options.MaxInFlight).Select(index => new NbdRequestSlot(index))];
        foreach (NbdRequestSlot slot in _slots)
        {
            _free.Writer.TryWrite(slot);
        }

        _writer = new NbdRequestWriter(session.Stream, options.MaxInFlight, Break);
        _replies = new NbdReplyReader(session.Input, _slots, session.Export, session.Contexts, ReleaseSlot);
        if (_requestTimeout is { } timeout)
        {
            _watch = _timeProvider.CreateTimer(
                static client => ((NbdClient)client!).BreakWhenOverdue(), this, timeout / 4, timeout / 4);
        }
    }

    /// <summary>What the server said of the export.</summary>
    public NbdExportInfo Export => _session.Export;

    /// <summary>False after the first break, and after disposal.</summary>
    public bool IsConnected => Volatile.Read(ref _fault) is null;

    /// <summary>Connects to an export.</summary>
    /// <param name="endPoint">A <see cref="UnixDomainSocketEndPoint"/>, <see cref="IPEndPoint"/> or <see cref="DnsEndPoint"/>.</param>
    /// <param name="exportName">Name of the export, at most 4096 bytes of UTF-8; empty for the server's default.</param>
    /// <param name="options">Null for the defaults: plain text, no metadata contexts.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="NbdException">
    /// The server cannot be reached, refused, violated the protocol, or did not finish the handshake in time.
    /// </exception>
    public static Task<NbdClient> ConnectAsync(
        EndPoint endPoint, string exportName, NbdClientOptions? options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(exportName);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Encoding.UTF8.GetByteCount(exportName), NbdWire.MaxStringLength, nameof(exportName));
        options ??= new NbdClientOptions();
        return OpenAsync<NbdClient>(endPoint, options, (socket, connected) => Serve(socket, endPoint, exportName, options, connected), cancellationToken);
    }

    /// <summary>The names of all exports that the server lists (NBD_OPT_LIST); an empty one is the server's default.</summary>
    /// <param name="endPoint">A <see cref="UnixDomainSocketEndPoint"/>, <see cref="IPEndPoint"/> or <see cref="DnsEndPoint"/>.</param>
    /// <param name="options">Null for the defaults; what concerns an open export does not matter.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="NbdRefusedException">The server does not list its exports.</exception>
    /// <exception cref="NbdException">
    /// The server cannot be reached, violated the protocol, or did not finish in time.
    /// </exception>
    public static Task<IReadOnlyList<string>> ListExportsAsync(EndPoint endPoint, NbdClientOptions? options, CancellationToken cancellationToken)
    {
        options ??= new NbdClientOptions();
        return OpenAsync<IReadOnlyList<string>>(endPoint, options, (socket, listed) => List(socket, endPoint, options, listed), cancellationToken);
    }

    /// <summary>
    /// NBD_CMD_CACHE: has QEMU populate the clusters touched by a range. No data crosses the socket. What was
    /// populated is on stable storage only after <see cref="FlushAsync"/>.
    /// </summary>
    /// <param name="offset">First byte, a multiple of <see cref="NbdExportInfo.MinimumBlockSize"/>.</param>
    /// <param name="length">Bytes, at least one; QEMU takes at most 32 MiB.</param>
    /// <param name="ct">Frees the caller; the server goes on with the request.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range is not within the export.</exception>
    /// <exception cref="NbdCommandException">The server refused, or the export takes no CACHE (ENOTSUP).</exception>
    /// <exception cref="NbdException">The link broke.</exception>
    public Task CacheAsync(long offset, int length, CancellationToken ct)
    {
        ValidateRange(offset, length);
        return Export.CanCache
            ? SendAsync(NbdCommand.Cache, offset, length, default, null, ct)
            : Task.FromException(NotOffered("NBD_CMD_CACHE"));
    }

    /// <summary>NBD_CMD_FLUSH: once it completes, whatever completed before it was sent is on stable storage.</summary>
    /// <param name="ct">Frees the caller; the server goes on with the request.</param>
    /// <exception cref="NbdCommandException">The server refused, or the export takes no FLUSH (ENOTSUP).</exception>
    /// <exception cref="NbdException">The link broke.</exception>
    public Task FlushAsync(CancellationToken ct) => Export.CanFlush
        ? SendAsync(NbdCommand.Flush, 0, 0, default, null, ct)
        : Task.FromException(NotOffered("NBD_CMD_FLUSH"));

    /// <summary>NBD_CMD_READ. After an exception the destination holds part of the data or nothing of it.</summary>
    /// <param name="offset">First byte, a multiple of <see cref="NbdExportInfo.MinimumBlockSize"/>.</param>
    /// <param name="destination">Filled to its end; at most <see cref="NbdExportInfo.MaximumPayload"/> bytes. Not touched once the call is over.</param>
    /// <param name="ct">Frees the caller and the destination.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range is not within the export, or too long.</exception>
    /// <exception cref="NbdCommandException">The server refused.</exception>
    /// <exception cref="NbdException">The link broke.</exception>
    public Task ReadAsync(long offset, Memory<byte> destination, CancellationToken ct)
    {
        ValidateRange(offset, destination.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, Export.MaximumPayload, nameof(destination));
        return SendAsync(NbdCommand.Read, offset, destination.Length, destination, null, ct);
    }

    /// <summary>NBD_CMD_BLOCK_STATUS: what each granted metadata context says of a range, or of its beginning.</summary>
    /// <param name="offset">First byte, a multiple of <see cref="NbdExportInfo.MinimumBlockSize"/>.</param>
    /// <param name="length">Bytes, at least one.</param>
    /// <param name="ct">Frees the caller.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range is not within the export.</exception>
    /// <exception cref="NbdCommandException">The server refused, or no metadata context was granted (ENOTSUP).</exception>
    /// <exception cref="NbdException">The link broke.</exception>
    public async Task<NbdBlockStatus> GetBlockStatusAsync(long offset, int length, CancellationToken ct)
    {
        ValidateRange(offset, length);
        if (Export.MetadataContexts.Count == 0)
        {
            throw NotOffered("NBD_CMD_BLOCK_STATUS without a metadata context");
        }

        var contexts = new Dictionary<string, List<NbdExtent>>(Export.MetadataContexts.Count);
        await SendAsync(NbdCommand.BlockStatus, offset, length, default, contexts, ct);
        return new NbdBlockStatus(offset, length, contexts);
    }

    /// <summary>Says goodbye (NBD_CMD_DISC) where it can, and closes. Calls still pending throw <see cref="NbdException"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        if (IsConnected && _writer.TryEnqueue(NbdCommand.Disconnect, 0, 0, 0))
        {
            try
            {
                await _writer.WhenIdleAsync().WaitAsync(DisconnectTimeout, _timeProvider);
            }
            catch (TimeoutException)
            {
                // The server reads nothing any more.
            }
        }

        Break(new NbdException("The NBD connection was closed by this side."));
        await _reading.Task;
        await _session.Stream.DisposeAsync();
    }

    /// <summary>Has a thread of its own do what blocks in a new socket, within the bound of the handshake.</summary>
    private static async Task<T> OpenAsync<T>(
        EndPoint endPoint, NbdClientOptions options, Action<Socket, TaskCompletionSource<T>> negotiate, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        options.Validate();

        using var timeout = new CancellationTokenSource(options.ConnectTimeout, options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        either.Token.ThrowIfCancellationRequested();
        Socket socket = CreateSocket(endPoint);
        var outcome = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() => negotiate(socket, outcome)) { IsBackground = true, Name = "NBD replies" }.Start();
        try
        {
            // What blocks in the socket ends with it.
            await using CancellationTokenRegistration registration = either.Token.UnsafeRegister(static socket => Close((Socket)socket!), socket);
            return await outcome.Task;
        }
        catch (Exception exception)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (timeout.IsCancellationRequested)
            {
                throw new NbdException($"The NBD server at {endPoint} did not finish the handshake within {options.ConnectTimeout}.", exception);
            }

            if (exception is SocketException or (IOException and not NbdException))
            {
                throw new NbdException($"The connection to the NBD server at {endPoint} failed: {exception.Message}", exception);
            }

            throw;
        }
    }

    private async Task SendAsync(
        NbdCommand command,
        long offset,
        int length,
        Memory<byte> destination,
        Dictionary<string, List<NbdExtent>>? status,
        CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        if (!_free.Reader.TryRead(out NbdRequestSlot? slot))
        {
            slot = await WaitForSlotAsync(ct);
        }

        ulong cookie = slot.Begin(command, offset, length, destination, status, _timeProvider.GetTimestamp());
        try
        {
            using CancellationTokenRegistration registration =
                ct.UnsafeRegister(static (slot, token) => ((NbdRequestSlot)slot!).Cancel(token), slot);

            // Begun before this look at the fault, so that either we see it or Break sees the slot.
            if (Volatile.Read(ref _fault) is { } fault)
            {
                slot.Fail(fault);
            }
            else if (!_writer.TryEnqueue(command, cookie, offset, length))
            {
                Break(NbdException.Violation("answers requests that it has not received yet"));
            }

            await new ValueTask(slot, slot.Version);
        }
        finally
        {
            ReleaseSlot(slot);
        }
    }

    private async ValueTask<NbdRequestSlot> WaitForSlotAsync(CancellationToken ct)
    {
        try
        {
            return await _free.Reader.ReadAsync(ct);
        }
        catch (ChannelClosedException)
        {
            throw new NbdException(_fault!.Message, _fault);
        }
    }

    private void ReleaseSlot(NbdRequestSlot slot)
    {
        if (slot.Release())
        {
            _free.Writer.TryWrite(slot);
        }
    }

    /// <summary>The connection's thread: connects, and reads replies until the link breaks.</summary>
    private static void Serve(Socket socket, EndPoint endPoint, string exportName, NbdClientOptions options, TaskCompletionSource<NbdClient> connected)
    {
        NbdClient client;
        try
        {
            socket.Connect(endPoint);
            var handshake = new NbdHandshake(new BlockingSocketStream(socket), exportName, options);
            client = new NbdClient(socket, handshake.RunAsync(CancellationToken.None).GetAwaiter().GetResult(), options);
        }
        catch (Exception exception)
        {
            socket.Dispose();
            connected.SetException(exception);
            return;
        }

        connected.SetResult(client);
        try
        {
            client._replies.RunAsync().GetAwaiter().GetResult();
        }
        catch (Exception exception)
        {
            // Whatever ended the reader: the pending calls would hang otherwise.
            client.Break(exception);
        }

        client._reading.SetResult();
    }

    private static void List(Socket socket, EndPoint endPoint, NbdClientOptions options, TaskCompletionSource<IReadOnlyList<string>> listed)
    {
        try
        {
            socket.Connect(endPoint);
            var handshake = new NbdHandshake(new BlockingSocketStream(socket), "", options);
            listed.SetResult(handshake.ListAsync(CancellationToken.None).GetAwaiter().GetResult());
        }
        catch (Exception exception)
        {
            listed.SetException(exception);
        }
        finally
        {
            socket.Dispose();
        }
    }

    private void Break(Exception cause)
    {
        NbdException fault = cause as NbdException ?? new NbdException($"The NBD connection broke: {cause.Message}", cause);
        if (Interlocked.CompareExchange(ref _fault, fault, null) is not null)
        {
            return;
        }

        _free.Writer.TryComplete();
        foreach (NbdRequestSlot slot in _slots)
        {
            slot.Fail(fault);
        }

        _watch?.Dispose();
        Close(_socket); // ends the reader and the writer
    }

    private void BreakWhenOverdue()
    {
        TimeSpan timeout = _requestTimeout!.Value;
        long startedBefore = _timeProvider.GetTimestamp() - (long)(timeout.TotalSeconds * _timeProvider.TimestampFrequency);
        if (_slots.Any(slot => slot.IsOverdue(startedBefore)))
        {
            Break(new NbdException($"The NBD server left a request unanswered for {timeout}."));
        }
    }

    private void ValidateRange(long offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Export.Size - length);
    }

    private static NbdCommandException NotOffered(string what) =>
        new(NbdError.ENOTSUP, null, $"The NBD export does not offer {what}.");

    /// <summary>Also ends what blocks in it, on whatever thread.</summary>
    private static void Close(Socket socket)
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // Not connected yet, or not any more.
        }

        socket.Dispose();
    }

    private static Socket CreateSocket(EndPoint endPoint)
    {
        if (endPoint is UnixDomainSocketEndPoint)
        {
            return new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        }

        // A DnsEndPoint names no family: a dual-mode socket tries them all.
        Socket socket = endPoint.AddressFamily == AddressFamily.Unspecified
            ? new Socket(SocketType.Stream, ProtocolType.Tcp)
            : new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.NoDelay = true;

        // A host that vanished is noticed within a minute, even where no request times out.
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 30);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 10);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);

        // TCP_USER_TIMEOUT of linux/tcp.h, in milliseconds: keepalive does not watch a connection with unacknowledged data.
        socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, 18, BitConverter.GetBytes(60_000));
        return socket;
    }
}
