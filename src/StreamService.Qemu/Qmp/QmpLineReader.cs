using System.Net.Sockets;

namespace StreamService.Qemu.Qmp;

/// <summary>Takes a stream of bytes apart into QMP's lines, none longer than a limit.</summary>
internal sealed class QmpLineReader(Socket socket, int longestLine)
{
    private byte[] _buffer = new byte[4096];
    private int _begin;
    private int _end;

    /// <summary>The next line without its end; valid until the next call. Null where the peer closed between two lines.</summary>
    /// <exception cref="QmpException">A line is too long, or the peer closed within one.</exception>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken cancellationToken)
    {
        for (var searched = _begin; ;)
        {
            var at = _buffer.AsSpan(searched, _end - searched).IndexOf((byte)'\n');
            if (at >= 0)
            {
                var line = _buffer.AsMemory(_begin, searched + at - _begin);
                _begin = searched + at + 1;
                return line;
            }
            searched = _end;
            if (_end - _begin >= longestLine)
                throw new QmpException($"The monitor sent a line of more than {longestLine} bytes.");
            searched -= MakeRoom();
            var received = await socket.ReceiveAsync(_buffer.AsMemory(_end), cancellationToken);
            if (received == 0)
                return _end == _begin ? null : throw new QmpException("The monitor closed the connection in the middle of a message.");
            _end += received;
        }
    }

    /// <summary>Returns by how much the contents moved.</summary>
    private int MakeRoom()
    {
        if (_end < _buffer.Length)
            return 0;
        var moved = _begin;
        var target = _begin > 0 ? _buffer : new byte[Math.Min(_buffer.Length * 2L, longestLine + 1L)];
        _buffer.AsSpan(_begin, _end - _begin).CopyTo(target);
        (_buffer, _begin, _end) = (target, 0, _end - _begin);
        return moved;
    }
}
