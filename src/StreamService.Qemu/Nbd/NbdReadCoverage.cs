namespace StreamService.Qemu.Nbd;

/// <summary>
/// Which bytes of one read have come. A server may answer in chunks of any order, but each byte exactly once
/// (proto.md, NBD_REPLY_TYPE_OFFSET_DATA: "MUST NOT overlap").
/// </summary>
internal sealed class NbdReadCoverage
{
    /// <summary>Bounds what a hostile server can make us remember.</summary>
    private const int MaxFragments = 4096;

    // Sorted, disjoint, not touching.
    private readonly List<(int Start, int End)> _fragments = [];

    /// <summary>Notes the bytes from <paramref name="start"/> on; false where some of them came before, or there are too many fragments.</summary>
    public bool TryAdd(int start, int length)
    {
        int end = start + length;
        int next = _fragments.Count; // the first fragment after the new one; mostly chunks come in order
        while (next > 0 && _fragments[next - 1].Start >= end)
        {
            next--;
        }

        bool joinsNext = next < _fragments.Count && _fragments[next].Start == end;
        if (next > 0 && _fragments[next - 1].End > start)
        {
            return false;
        }

        bool joinsPrevious = next > 0 && _fragments[next - 1].End == start;
        switch (joinsPrevious, joinsNext)
        {
            case (true, true):
                _fragments[next - 1] = (_fragments[next - 1].Start, _fragments[next].End);
                _fragments.RemoveAt(next);
                return true;
            case (true, false):
                _fragments[next - 1] = (_fragments[next - 1].Start, end);
                return true;
            case (false, true):
                _fragments[next] = (start, _fragments[next].End);
                return true;
            default:
                _fragments.Insert(next, (start, end));
                return _fragments.Count <= MaxFragments;
        }
    }

    /// <summary>Whether all of the first <paramref name="length"/> bytes have come.</summary>
    public bool IsComplete(int length) => _fragments is [(0, var end)] && end == length;
}
