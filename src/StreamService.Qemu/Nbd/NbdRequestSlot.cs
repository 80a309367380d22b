using System.Threading.Tasks.Sources;

namespace StreamService.Qemu.Nbd;

/// <summary>
/// One of the requests that may be in flight; used again and again, so that a request allocates no source of its own.
/// <code>
///   free --Begin--> in flight --Complete--> settled --both sides released--> free
///                      |                       ^
///                      +--Cancel (caller gone)-+  the server still owes the reply: the slot stays taken until it came
///                      +--Fail (link broke)----+  never free again
/// </code>
/// Two sides use a slot, the caller and the reader of replies; it is free again when both have released it.
/// </summary>
internal sealed class NbdRequestSlot(int index) : IValueTaskSource
{
    private readonly Lock _gate = new();
    private ManualResetValueTaskSourceCore<bool> _source;
    private Memory<byte> _destination;
    private ulong _cookie;
    private bool _inFlight; // the server owes a reply
    private bool _settled;  // the caller has its outcome
    private int _released;

    public NbdCommand Command { get; private set; }

    /// <summary>As in the protocol's own documents, for messages.</summary>
    public string CommandName => Command switch
    {
        NbdCommand.Read => "NBD_CMD_READ",
        NbdCommand.Flush => "NBD_CMD_FLUSH",
        NbdCommand.Cache => "NBD_CMD_CACHE",
        NbdCommand.BlockStatus => "NBD_CMD_BLOCK_STATUS",
        _ => Command.ToString(),
    };

    public long Offset { get; private set; }

    public int Length { get; private set; }

    /// <summary>TimeProvider timestamp of <see cref="Begin"/>.</summary>
    public long StartedAt { get; private set; }

    // What the reader of replies has gathered; nobody else touches these.
    public NbdReadCoverage? Coverage { get; private set; }

    public Dictionary<string, List<NbdExtent>>? Status { get; private set; }

    public NbdCommandException? Refusal { get; set; }

    public bool HasChunks { get; set; }

    public int ErrorChunks { get; set; }

    public short Version => _source.Version;

    /// <summary>Takes the slot into use.</summary>
    /// <returns>The cookie: slot number in the low 16 bits, above it a count, so that a cookie of an earlier use is unknown.</returns>
    public ulong Begin(
        NbdCommand command, long offset, int length, Memory<byte> destination, Dictionary<string, List<NbdExtent>>? status, long startedAt)
    {
        lock (_gate)
        {
            _source.Reset();
            _destination = destination;
            _cookie = (((_cookie >> 16) + 1) << 16) | (uint)index;
            _settled = false;
            _released = 0;
            (Command, Offset, Length, StartedAt) = (command, offset, length, startedAt);
            Coverage = command == NbdCommand.Read ? new() : null;
            (Status, Refusal, HasChunks, ErrorChunks) = (status, null, false, 0);
            _inFlight = true;
            return _cookie;
        }
    }

    /// <summary>Whether the server owes a reply to this cookie.</summary>
    public bool Awaits(ulong cookie)
    {
        lock (_gate)
        {
            return _inFlight && _cookie == cookie;
        }
    }

    /// <summary>Whether the server has owed a reply since before <paramref name="startedBefore"/>.</summary>
    public bool IsOverdue(long startedBefore)
    {
        lock (_gate)
        {
            return _inFlight && StartedAt < startedBefore;
        }
    }

    /// <summary>Puts data of a read where the caller wants it; after a cancellation that memory is no longer ours and stays as it is.</summary>
    public void Deliver(int position, ReadOnlySpan<byte> data)
    {
        lock (_gate)
        {
            if (!_settled)
            {
                data.CopyTo(_destination.Span[position..]);
            }
        }
    }

    /// <summary>As <see cref="Deliver"/>, for a hole.</summary>
    public void DeliverZeros(int position, int length)
    {
        lock (_gate)
        {
            if (!_settled)
            {
                _destination.Span.Slice(position, length).Clear();
            }
        }
    }

    /// <summary>
    /// The whole reply came. The caller gets the result or <see cref="Refusal"/>, and goes on within this call: another
    /// thread would have to be woken for each request.
    /// </summary>
    /// <param name="release">Releases the reader's side; called before the caller goes on, who may want a slot at once.</param>
    public void Complete(Action<NbdRequestSlot> release)
    {
        bool isAwaited = Settle(replied: true);
        release(this);
        if (isAwaited)
        {
            Wake(Refusal);
        }
    }

    /// <summary>Frees the caller at once; the reply is still owed.</summary>
    public void Cancel(CancellationToken cancellationToken)
    {
        if (Settle(replied: false))
        {
            Wake(new OperationCanceledException(cancellationToken));
        }
    }

    /// <summary>The link broke. Without effect where no reply is owed.</summary>
    public void Fail(NbdException cause)
    {
        lock (_gate)
        {
            if (!_inFlight)
            {
                return;
            }
        }

        if (Settle(replied: true))
        {
            // An exception of its own for each caller: one instance thrown by many would mix up their stack traces.
            Wake(new NbdException(cause.Message, cause));
        }
    }

    /// <summary>Called once by each of the two sides; true for the second one, which hands the slot back.</summary>
    public bool Release() => Interlocked.Increment(ref _released) == 2;

    void IValueTaskSource.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);

    /// <returns>Whether the caller is to be woken: false where it has its outcome already.</returns>
    private bool Settle(bool replied)
    {
        lock (_gate)
        {
            _inFlight &= !replied;
            bool isAwaited = !_settled;
            _settled = true;
            _destination = default;
            return isAwaited;
        }
    }

    private void Wake(Exception? exception)
    {
        if (exception is null)
        {
            _source.SetResult(true);
        }
        else
        {
            _source.SetException(exception);
        }
    }
}
