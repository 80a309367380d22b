using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;

namespace StreamService.Migrations;

/// <summary>Which blocks of a disk the guest has written, one bit for each: those cannot be compared with the frozen image.</summary>
/// <param name="size">The disk's, in bytes.</param>
public sealed class WrittenBlocks(long size)
{
    /// <summary>Bytes of a block: a cluster of qcow2 and QED as QEMU makes them, and what its bitmaps count in.</summary>
    public const int BlockSize = 64 << 10;

    private readonly byte[] _bits = new byte[(Count(size) + 7) / 8];

    /// <summary>From what <see cref="ToBytes"/> gave.</summary>
    public WrittenBlocks(long size, byte[] bits) : this(size) => bits.CopyTo(_bits, 0);

    /// <summary>Blocks of the disk; the last may be a part of one.</summary>
    public long Blocks => Count(size);

    public bool this[long block] => (_bits[block / 8] & (1 << (int)(block % 8))) != 0;

    public byte[] ToBytes() => [.. _bits];

    /// <summary>Adds every block that a range touches.</summary>
    public void Add(long offset, long length)
    {
        for (var block = offset / BlockSize; block * BlockSize < Math.Min(offset + length, size); block++)
            _bits[block / 8] |= (byte)(1 << (int)(block % 8));
    }

    /// <summary>Adds what an overlay itself holds: to be taken before anything but the guest writes to it.</summary>
    public void Add(AllocationMap map)
    {
        foreach (var extent in map.Extents.Where(extent => extent.Depth == 1))
            Add(extent.Offset, extent.Length);
    }

    /// <summary>Adds what QEMU's dirty bitmap holds.</summary>
    /// <param name="context">Its metadata context.</param>
    public async Task AddAsync(NbdClient disk, string context, CancellationToken cancellationToken)
    {
        const int step = 1 << 30;
        for (long offset = 0; offset < size;)
        {
            var status = await disk.GetBlockStatusAsync(offset, (int)Math.Min(step, size - offset), cancellationToken);
            foreach (var extent in status[context].Where(extent => (extent.Flags & Dirty) != 0))
                Add(extent.Offset, extent.Length);
            offset = status.EndOf(context);
        }
    }

    /// <summary>Bit 0 of an extent in <c>qemu:dirty-bitmap</c> (QEMU, docs/interop/nbd.txt).</summary>
    private const uint Dirty = 1;

    private static long Count(long size) => (size + BlockSize - 1) / BlockSize;
}
