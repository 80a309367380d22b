using System.Buffers.Binary;

namespace StreamService.Qemu.Nbd;

/// <summary>
/// Sends requests, each 28 bytes. Whoever finds the link idle writes; what others add meanwhile goes out in one
/// write after it. Nobody waits for a write but the writer itself.
/// </summary>
internal sealed class NbdRequestWriter(Stream stream, int maxInFlight, Action<Exception> onFault)
{
    private readonly Lock _gate = new();
    private byte[] _filling = NewBuffer(maxInFlight);
    private byte[] _sending = NewBuffer(maxInFlight);
    private int _filled;
    private bool _writing;
    private TaskCompletionSource? _idle;

    /// <summary>Adds a request.</summary>
    /// <returns>
    /// False where there is no room. As each request in flight is in the buffer at most once, that happens only if
    /// the server answers requests that it cannot have received.
    /// </returns>
    public bool TryEnqueue(NbdCommand command, ulong cookie, long offset, int length)
    {
        lock (_gate)
        {
            if (_filled == _filling.Length)
            {
                return false;
            }

            Span<byte> request = _filling.AsSpan(_filled, NbdWire.RequestLength);
            BinaryPrimitives.WriteUInt32BigEndian(request, NbdWire.RequestMagic);
            BinaryPrimitives.WriteUInt16BigEndian(request[4..], 0); // no command flags
            BinaryPrimitives.WriteUInt16BigEndian(request[6..], (ushort)command);
            BinaryPrimitives.WriteUInt64BigEndian(request[8..], cookie);
            BinaryPrimitives.WriteUInt64BigEndian(request[16..], (ulong)offset);
            BinaryPrimitives.WriteUInt32BigEndian(request[24..], (uint)length);
            _filled += NbdWire.RequestLength;
            if (_writing)
            {
                return true;
            }

            _writing = true;
        }

        _ = WriteAsync();
        return true;
    }

    /// <summary>Completes once everything added so far was written or the link broke.</summary>
    public Task WhenIdleAsync()
    {
        lock (_gate)
        {
            return _writing ? (_idle ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task : Task.CompletedTask;
        }
    }

    private async Task WriteAsync()
    {
        try
        {
            while (NextBatch() is { Length: > 0 } batch)
            {
                await stream.WriteAsync(batch, CancellationToken.None);
            }
        }
        catch (Exception exception)
        {
            onFault(exception);
            lock (_gate)
            {
                BecomeIdle();
            }
        }
    }

    private ReadOnlyMemory<byte> NextBatch()
    {
        lock (_gate)
        {
            if (_filled == 0)
            {
                BecomeIdle();
                return default;
            }

            (_filling, _sending) = (_sending, _filling);
            ReadOnlyMemory<byte> batch = _sending.AsMemory(0, _filled);
            _filled = 0;
            return batch;
        }
    }

    private void BecomeIdle()
    {
        _writing = false;
        _idle?.TrySetResult();
        _idle = null;
    }

    // One more than can be in flight: NBD_CMD_DISC has no reply and no slot.
    private static byte[] NewBuffer(int maxInFlight) => new byte[(maxInFlight + 1) * NbdWire.RequestLength];
}
