using System.Buffers.Binary;
using System.Text;

namespace StreamService.Tests.Nbd;

/// <summary>Big-endian bytes, written out by the tests themselves so that they do not share the client's mistakes.</summary>
internal sealed class Wire
{
    private readonly List<byte> _bytes = [];

    public Wire U16(int value)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)value);
        return Raw(bytes);
    }

    public Wire U32(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return Raw(bytes);
    }

    public Wire U64(ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        return Raw(bytes);
    }

    public Wire Text(string text) => Raw(Encoding.UTF8.GetBytes(text));

    public Wire Raw(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public byte[] ToArray() => [.. _bytes];

    public static byte[] Greeting(int flags = 3) => new Wire().Text("NBDMAGICIHAVEOPT").U16(flags).ToArray();

    public static byte[] OptionReply(uint option, uint type, byte[]? payload = null) =>
        new Wire().U64(0x0003e889045565a9).U32(option).U32(type).U32((uint)(payload?.Length ?? 0)).Raw(payload).ToArray();

    public static byte[] Context(uint id, string name) => new Wire().U32(id).Text(name).ToArray();

    public static byte[] ExportInfo(ulong size, int flags) => new Wire().U16(0).U64(size).U16(flags).ToArray();

    public static byte[] BlockSizes(uint minimum, uint preferred, uint maximum) =>
        new Wire().U16(3).U32(minimum).U32(preferred).U32(maximum).ToArray();

    public static byte[] SimpleReply(ulong cookie, uint error = 0) => new Wire().U32(0x67446698).U32(error).U64(cookie).ToArray();

    /// <param name="length">The length told, where it is to differ from the payload's.</param>
    public static byte[] Chunk(ulong cookie, int type, byte[] payload, bool done = true, uint? length = null) =>
        new Wire().U32(0x668e33ef).U16(done ? 1 : 0).U16(type).U64(cookie).U32(length ?? (uint)payload.Length).Raw(payload).ToArray();

    public static byte[] Data(ulong cookie, long offset, byte[] data, bool done = true) =>
        Chunk(cookie, 1, new Wire().U64((ulong)offset).Raw(data).ToArray(), done);

    public static byte[] Hole(ulong cookie, long offset, uint size, bool done = true) =>
        Chunk(cookie, 2, new Wire().U64((ulong)offset).U32(size).ToArray(), done);

    public static byte[] Extents(ulong cookie, uint context, bool done, params (uint Length, uint Flags)[] extents)
    {
        Wire payload = new Wire().U32(context);
        foreach ((uint length, uint flags) in extents)
        {
            payload.U32(length).U32(flags);
        }

        return Chunk(cookie, 5, payload.ToArray(), done);
    }

    public static byte[] Error(ulong cookie, uint error, string message, bool done = true, int? messageLength = null) =>
        Chunk(cookie, 0x8001, new Wire().U32(error).U16(messageLength ?? message.Length).Text(message).ToArray(), done);
}
