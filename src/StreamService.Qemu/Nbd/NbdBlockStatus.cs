namespace StreamService.Qemu.Nbd;

/// <summary>A range of bytes of the export with the same flags in one metadata context.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes, at least one.</param>
/// <param name="Flags">What the context says; its meaning is the context's.</param>
public readonly record struct NbdExtent(long Offset, long Length, uint Flags)
{
    /// <summary>The byte after the last.</summary>
    public long End => Offset + Length;
}

/// <summary>
/// Answer to NBD_CMD_BLOCK_STATUS: for each granted context the extents from <see cref="Offset"/> on, contiguous, at
/// least one. A server may stop early, and each context at another place: see <see cref="EndOf"/>.
/// </summary>
public sealed class NbdBlockStatus
{
    private readonly IReadOnlyDictionary<string, List<NbdExtent>> _contexts;

    internal NbdBlockStatus(long offset, int length, IReadOnlyDictionary<string, List<NbdExtent>> contexts)
    {
        Offset = offset;
        Length = length;
        _contexts = contexts;
    }

    /// <summary>First byte asked about.</summary>
    public long Offset { get; }

    /// <summary>Bytes asked about.</summary>
    public int Length { get; }

    /// <summary>The contexts answered: those of <see cref="NbdExportInfo.MetadataContexts"/>.</summary>
    public IEnumerable<string> Contexts => _contexts.Keys;

    /// <summary>The extents of a context.</summary>
    /// <exception cref="KeyNotFoundException">The context was not granted.</exception>
    public IReadOnlyList<NbdExtent> this[string context] => _contexts[context];

    /// <summary>How far a context reaches: the byte after its last extent; never past the range asked about.</summary>
    /// <exception cref="KeyNotFoundException">The context was not granted.</exception>
    public long EndOf(string context) => _contexts[context][^1].End;
}
