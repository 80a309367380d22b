using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;

namespace StreamService.Qemu.Qmp;

/// <summary>
/// A connection to the monitor socket of a QEMU or a qemu-storage-daemon. Commands may be sent from any thread at any time;
/// one task reads, and hands each answer to the slot of its id. The first fault ends the connection, and with it everything
/// that is still waited for.
/// </summary>
/// <remarks>
/// QEMU serves one client of a socket at a time: whoever holds a <see cref="QmpClient"/> keeps all others waiting.
/// </remarks>
public sealed class QmpClient : IQmpMonitor, IAsyncDisposable
{
    /// <summary>How long to wait before a full socket is tried again with files; there is no way to be told.</summary>
    private static readonly TimeSpan SocketFull = TimeSpan.FromMilliseconds(20);

    private readonly Socket _socket;
    private readonly QmpLineReader _lines;
    private readonly QmpClientOptions _options;
    private readonly ConcurrentDictionary<long, Slot> _pending = new();
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly Channel<QmpEvent> _events;
    private readonly TaskCompletionSource<QmpException> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private Task _reading = Task.CompletedTask;
    private long _lastId;

    private QmpClient(Socket socket, QmpClientOptions options)
    {
        _socket = socket;
        _options = options;
        _lines = new QmpLineReader(socket, options.LongestMessage);
        _events = Channel.CreateBounded<QmpEvent>(new BoundedChannelOptions(options.EventBacklog) { FullMode = BoundedChannelFullMode.DropOldest });
    }

    /// <summary>A command that waits for its answer.</summary>
    private sealed class Slot(string command)
    {
        public string Command => command;
        public TaskCompletionSource<JsonElement> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>What QEMU said of itself.</summary>
    public QmpGreeting Greeting { get; private set; } = new(new Version(), "");

    /// <summary>Completes, never in a fault, when the connection has ended, with the reason.</summary>
    public Task<QmpException> Closed => _closed.Task;

    /// <summary>Events since the connection was made; ends with it.</summary>
    public ChannelReader<QmpEvent> Events => _events.Reader;

    /// <summary>Connects, waits for the greeting and leaves the negotiation behind.</summary>
    /// <exception cref="QmpDeadException">Nobody listens there.</exception>
    /// <exception cref="QmpBusyException">Another client holds the monitor, and the options do not say to wait.</exception>
    /// <exception cref="QmpException">What is there does not speak QMP.</exception>
    public static async Task<QmpClient> ConnectAsync(string socketPath, QmpClientOptions options, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var client = new QmpClient(socket, options);
        try
        {
            await OpenAsync(socket, socketPath, cancellationToken);
            client.Greeting = await client.ReceiveGreetingAsync(socketPath, cancellationToken);
            client._reading = client.ReadAllAsync();
            await client.ExecuteAsync("qmp_capabilities", null, null, cancellationToken);
            return client;
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="QmpTimeoutException">No answer within <see cref="QmpClientOptions.CallTimeout"/>.</exception>
    public async Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, IReadOnlyList<SafeHandle>? files, CancellationToken cancellationToken)
    {
        var id = Interlocked.Increment(ref _lastId);
        var slot = new Slot(command);
        _pending[id] = slot;
        // Whoever ends the connection fails what is pending; what came too late for that is failed here.
        if (_closed.Task.IsCompleted)
        {
            _pending.TryRemove(id, out _);
            throw Broken(command, await _closed.Task);
        }
        using var deadline = new CancellationTokenSource(_options.CallTimeout, _options.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        try
        {
            await SendAsync(QmpMessage.Bytes(command, arguments, id), files ?? [], either.Token);
            // Given up or not, the slot stays until its answer has come: an answer that nobody waits for is no fault.
            return await slot.Answer.Task.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new QmpTimeoutException($"{command}: no answer from the monitor for {_options.CallTimeout.TotalSeconds:0.#} s.");
        }
    }

    /// <summary>Ends the connection; what is still waited for fails.</summary>
    public async ValueTask DisposeAsync()
    {
        Close(new QmpException("The connection was closed."));
        await _reading;
        _stop.Dispose();
    }

    private static async Task OpenAsync(Socket socket, string path, CancellationToken cancellationToken)
    {
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
        }
        catch (SocketException exception) when (exception.SocketErrorCode is SocketError.TryAgain or SocketError.WouldBlock)
        {
            // The line of those who wait is full.
            throw new QmpBusyException($"The monitor {path} is held by another client, and others wait for it.");
        }
        catch (SocketException exception)
        {
            throw new QmpDeadException($"Nobody answers at the monitor {path}: {exception.Message}.", exception);
        }
        catch (ArgumentOutOfRangeException exception)
        {
            throw new QmpDeadException($"The path '{path}' is too long for a socket.", exception);
        }
    }

    private async Task<QmpGreeting> ReceiveGreetingAsync(string path, CancellationToken cancellationToken)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var first = _lines.ReadAsync(enough.Token).AsTask();
        try
        {
            if (await Task.WhenAny(first, Task.Delay(_options.GreetingTimeout, _options.Time, enough.Token)) != first)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (_options.Busy is not { } busy)
                    throw new QmpBusyException($"The monitor {path} does not greet: another client holds it.");
                busy();
            }
            var line = await first ?? throw new QmpDeadException($"The monitor {path} closed the connection before its greeting.");
            return QmpMessage.Greeting(line);
        }
        catch (InvalidOperationException exception)
        {
            throw new QmpException($"The monitor {path} greets in text that is not Unicode.", exception);
        }
        catch (SocketException exception)
        {
            throw new QmpDeadException($"The monitor {path} broke the connection before its greeting: {exception.Message}.", exception);
        }
        finally
        {
            await enough.CancelAsync();
        }
    }

    private async Task ReadAllAsync()
    {
        var reason = new QmpException("The monitor closed the connection.");
        try
        {
            while (await _lines.ReadAsync(_stop.Token) is { } line)
                Take(line);
        }
        catch (QmpException exception)
        {
            reason = exception;
        }
        catch (Exception exception)
        {
            // Whatever it is, nobody must be left waiting.
            reason = new QmpException($"The connection to the monitor broke: {exception.Message}", exception);
        }
        Close(reason);
    }

    private void Take(ReadOnlyMemory<byte> line)
    {
        using var message = QmpMessage.Parse(line);
        var root = message.RootElement;
        if (QmpMessage.Event(root) is { } happened)
        {
            _events.Writer.TryWrite(happened);
            return;
        }
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("id", out var member)
            || member.ValueKind != JsonValueKind.Number || !member.TryGetInt64(out var id) || !_pending.TryRemove(id, out var slot))
            throw new QmpException($"The monitor sent a message that answers nothing: {QmpMessage.Excerpt(root)}");
        try
        {
            slot.Answer.TrySetResult(QmpMessage.Result(slot.Command, root).Clone());
        }
        catch (QmpCommandException refusal)
        {
            slot.Answer.TrySetException(refusal);
        }
        catch (Exception exception)
        {
            slot.Answer.TrySetException(exception as QmpException ?? new QmpException($"{slot.Command}: the answer cannot be read: {exception.Message}", exception));
            throw;
        }
    }

    private async Task SendAsync(ReadOnlyMemory<byte> message, IReadOnlyList<SafeHandle> files, CancellationToken cancellationToken)
    {
        await _writing.WaitAsync(cancellationToken);
        var sent = 0;
        try
        {
            while (files.Count > 0 && sent == 0)
            {
                sent = FilePassing.TrySend(_socket.SafeHandle, message.Span, files);
                if (sent == 0)
                    await Task.Delay(SocketFull, _options.Time, cancellationToken);
            }
            while (sent < message.Length)
                sent += await _socket.SendAsync(message[sent..], cancellationToken);
        }
        catch (OperationCanceledException) when (sent > 0)
        {
            // Half a message is on the wire; whatever followed it would be nonsense.
            Close(new QmpException("A message to the monitor could not be sent in time."));
            throw;
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            Close(new QmpException($"The connection to the monitor broke: {exception.Message}", exception));
            throw new QmpException((await _closed.Task).Message, exception);
        }
        finally
        {
            _writing.Release();
        }
    }

    private void Close(QmpException reason)
    {
        if (!_closed.TrySetResult(reason))
            return;
        _stop.Cancel();
        _socket.Dispose();
        foreach (var id in _pending.Keys)
            if (_pending.TryRemove(id, out var slot))
                slot.Answer.TrySetException(Broken(slot.Command, reason));
        _events.Writer.TryComplete();
    }

    private static QmpException Broken(string command, QmpException reason) => new($"{command}: {reason.Message}", reason);
}
