namespace StreamService.Streaming;

/// <summary>Where a stream's requests went that no flush has covered yet: few, for a flush comes every so many bytes. Safe for several threads, one flush at a time.</summary>
internal sealed class UnflushedRanges
{
    private readonly Lock _lock = new();
    private readonly List<(long Offset, long Length)> _ranges = [];
    private int _covered;

    /// <summary>A copy of all of them.</summary>
    public IReadOnlyList<(long Offset, long Length)> All
    {
        get
        {
            lock (_lock)
                return [.. _ranges];
        }
    }

    /// <summary>Takes a request that has come in. Neighbours in a row become one range.</summary>
    public void Add(long offset, long length)
    {
        lock (_lock)
        {
            // One that a flush under way covers must not grow.
            if (_ranges.Count > _covered && _ranges[^1] is var last && last.Offset + last.Length == offset)
                _ranges[^1] = last with { Length = last.Length + length };
            else
                _ranges.Add((offset, length));
        }
    }

    /// <summary>A flush begins: what is there now is what it covers.</summary>
    public void BeginFlush()
    {
        lock (_lock)
            _covered = _ranges.Count;
    }

    /// <summary>The flush has succeeded; after one that has not, the next covers all.</summary>
    public void EndFlush()
    {
        lock (_lock)
        {
            _ranges.RemoveRange(0, _covered);
            _covered = 0;
        }
    }
}
