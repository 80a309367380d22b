using System.Threading.Channels;
using StreamService.Qemu.Nbd;

namespace StreamService.Migrations;

/// <summary>Compares two disks over NBD, block by block, and passes over what the guest has written.</summary>
public static class DiskComparison
{
    /// <summary>Bytes of a piece; a multiple of a block.</summary>
    private const int Piece = 16 * WrittenBlocks.BlockSize;

    /// <summary>Pieces that are read at once.</summary>
    private const int InFlight = 8;

    /// <summary>Compares the whole of both.</summary>
    /// <param name="compared">Is told the bytes that were found equal since it was last told.</param>
    /// <returns>The blocks that differ.</returns>
    /// <exception cref="NbdException">One of them cannot be read.</exception>
    public static async Task<IReadOnlyList<long>> CompareAsync(NbdClient frozen, NbdClient disk, WrittenBlocks written, Action<long> compared, CancellationToken cancellationToken)
    {
        var different = new List<long>();
        var size = disk.Export.Size;
        var pieces = Channel.CreateUnbounded<long>();
        for (long offset = 0; offset < size; offset += Piece)
            pieces.Writer.TryWrite(offset);
        pieces.Writer.Complete();
        await Task.WhenAll(Enumerable.Range(0, InFlight).Select(async _ =>
        {
            var (left, right) = (new byte[Piece], new byte[Piece]);
            await foreach (var offset in pieces.Reader.ReadAllAsync(cancellationToken))
            {
                var (equal, found) = await CompareAsync(frozen, disk, written, offset, (int)Math.Min(Piece, size - offset), left, right, cancellationToken);
                lock (different)
                    different.AddRange(found);
                compared(equal);
            }
        }));
        different.Sort();
        return different;
    }

    /// <summary>Compares single blocks again.</summary>
    /// <returns>Those that still differ.</returns>
    public static async Task<IReadOnlyList<long>> CompareAgainAsync(NbdClient frozen, NbdClient disk, WrittenBlocks written, IReadOnlyList<long> blocks, CancellationToken cancellationToken)
    {
        var different = new List<long>();
        var (left, right) = (new byte[WrittenBlocks.BlockSize], new byte[WrittenBlocks.BlockSize]);
        foreach (var block in blocks)
        {
            var offset = block * WrittenBlocks.BlockSize;
            var length = (int)Math.Min(WrittenBlocks.BlockSize, disk.Export.Size - offset);
            different.AddRange((await CompareAsync(frozen, disk, written, offset, length, left, right, cancellationToken)).Different);
        }
        return different;
    }

    private static async Task<(long Equal, IReadOnlyList<long> Different)> CompareAsync(NbdClient frozen, NbdClient disk, WrittenBlocks written,
        long offset, int length, byte[] left, byte[] right, CancellationToken cancellationToken)
    {
        var first = offset / WrittenBlocks.BlockSize;
        var count = (length + WrittenBlocks.BlockSize - 1) / WrittenBlocks.BlockSize;
        if (Enumerable.Range(0, count).All(i => written[first + i]))
            return (0, []);
        await Task.WhenAll(
            ReadAsync(frozen, offset, left.AsMemory(0, length), cancellationToken),
            ReadAsync(disk, offset, right.AsMemory(0, length), cancellationToken));
        var different = new List<long>();
        long equal = 0;
        for (var i = 0; i < count; i++)
        {
            if (written[first + i])
                continue;
            var start = i * WrittenBlocks.BlockSize;
            var size = Math.Min(WrittenBlocks.BlockSize, length - start);
            if (left.AsSpan(start, size).SequenceEqual(right.AsSpan(start, size)))
                equal += size;
            else
                different.Add(first + i);
        }
        return (equal, different);
    }

    /// <summary>Reads; what lies behind the end of a frozen image, which is as large as the disk but for a part of a sector, is zeros.</summary>
    private static async Task ReadAsync(NbdClient client, long offset, Memory<byte> destination, CancellationToken cancellationToken)
    {
        var there = (int)Math.Clamp(client.Export.Size - offset, 0, destination.Length);
        destination.Span[there..].Clear();
        if (there > 0)
            await client.ReadAsync(offset, destination[..there], cancellationToken);
    }
}
