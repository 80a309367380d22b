using System.Buffers.Binary;

namespace StreamService.Qemu.Nbd;

/// <summary>
/// Buffered reading with one fixed buffer: many replies per system call, and no length of the peer ever sizes an
/// allocation. First <see cref="EnsureAsync"/>, then take what was ensured.
/// </summary>
internal sealed class NbdStreamReader(Stream stream)
{
    /// <summary>The most that can be ensured at once.</summary>
    public const int Capacity = 64 * 1024;

    private readonly byte[] _buffer = new byte[Capacity];
    private int _start;
    private int _end;

    /// <summary>Bytes that can be taken without waiting.</summary>
    public int Buffered => _end - _start;

    /// <summary>Waits until <paramref name="count"/> bytes can be taken.</summary>
    /// <exception cref="NbdException">The stream ended before that; the message names <paramref name="what"/> was cut off.</exception>
    public ValueTask EnsureAsync(int count, string what, CancellationToken cancellationToken) =>
        Buffered >= count ? default : FillAsync(count, what, cancellationToken);

    public ushort TakeUInt16() => BinaryPrimitives.ReadUInt16BigEndian(Take(sizeof(ushort)));

    public uint TakeUInt32() => BinaryPrimitives.ReadUInt32BigEndian(Take(sizeof(uint)));

    public ulong TakeUInt64() => BinaryPrimitives.ReadUInt64BigEndian(Take(sizeof(ulong)));

    /// <summary>Takes bytes; they stay valid until the next <see cref="EnsureAsync"/>.</summary>
    public ReadOnlySpan<byte> Take(int count)
    {
        // Throws past what is buffered: that would be a bug of the caller.
        ReadOnlySpan<byte> taken = _buffer.AsSpan(_start, Buffered)[..count];
        _start += count;
        return taken;
    }

    private async ValueTask FillAsync(int count, string what, CancellationToken cancellationToken)
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, Buffered).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        while (_end < count)
        {
            int read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
            if (read == 0)
            {
                throw new NbdException(_end == 0
                    ? $"The NBD server closed the connection; {what} was due."
                    : $"The NBD server closed the connection in the middle of {what}: {_end} of {count} bytes came.");
            }

            _end += read;
        }
    }
}
