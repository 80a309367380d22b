using System.Buffers.Binary;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// Image contents in which every 512-byte sector carries its own number, so that a sector that is missing, stale or in the
/// wrong place cannot go unseen.
/// </summary>
internal static class NumberedSectors
{
    public const int SectorSize = 512;

    /// <summary>Writes a raw image whose data lies at the given ranges; the rest is a hole.</summary>
    /// <param name="salt">Tells the images of one chain apart.</param>
    public static async Task WriteAsync(string path, long size, int salt, params (long Offset, long Length)[] ranges)
    {
        await using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
        file.SetLength(size);
        var buffer = new byte[1 << 20];
        foreach (var (offset, length) in ranges)
            for (var at = offset; at < offset + length; at += buffer.Length)
            {
                var part = (int)Math.Min(buffer.Length, offset + length - at);
                for (var sector = 0; sector < part; sector += SectorSize)
                    Fill(buffer.AsSpan(sector, SectorSize), (at + sector) / SectorSize, salt);
                file.Position = at;
                await file.WriteAsync(buffer.AsMemory(0, part));
            }
        file.Flush(flushToDisk: true);
    }

    private static void Fill(Span<byte> sector, long number, int salt)
    {
        for (var at = 0; at < sector.Length; at += sizeof(long))
            BinaryPrimitives.WriteInt64LittleEndian(sector[at..], (number << 8) | (uint)salt);
    }
}
