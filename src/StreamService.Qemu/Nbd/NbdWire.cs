using System.Text;

namespace StreamService.Qemu.Nbd;

/// <summary>
/// Numbers of the NBD protocol, named as in its specification
/// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). Everything on the wire is big-endian.
/// </summary>
internal static class NbdWire
{
    // Handshake ("Newstyle negotiation").
    public const ulong InitialMagic = 0x4e42444d41474943;   // "NBDMAGIC"
    public const ulong OptionMagic = 0x49484156454f5054;    // "IHAVEOPT"
    public const ulong OptionReplyMagic = 0x0003e889045565a9;
    public const int GreetingLength = 18;
    public const int OptionHeaderLength = 16;
    public const int OptionReplyHeaderLength = 20;
    public const ushort FlagFixedNewstyle = 1 << 0;
    public const ushort FlagNoZeroes = 1 << 1;

    // Transmission.
    public const uint RequestMagic = 0x25609513;
    public const uint SimpleReplyMagic = 0x67446698;
    public const uint StructuredReplyMagic = 0x668e33ef;
    public const int RequestLength = 28;
    public const int SimpleReplyLength = 16;
    public const int ChunkHeaderLength = 20;
    public const ushort ChunkFlagDone = 1 << 0;
    public const ushort ChunkErrorBit = 1 << 15;

    // Bits of base:allocation ("NBD_STATE_ZERO").
    public const uint StateZero = 1 << 1;

    /// <summary>"The maximum length of a string field is 4096 bytes" (section Values / strings).</summary>
    public const int MaxStringLength = 4096;

    /// <summary>Our own cap on the payload of an option reply: a string with some numbers before it.</summary>
    public const int MaxOptionReplyLength = MaxStringLength + 64;

    /// <summary>QEMU's server sends at most 1 MiB of descriptors per context (NBD_MAX_BLOCK_STATUS_EXTENTS, nbd/server.c).</summary>
    public const int MaxBlockStatusLength = 4 + (1 << 20);

    /// <summary>What a client may assume where the server names no maximum ("Block size constraints").</summary>
    public const uint DefaultMaximumPayload = 32 << 20;

    /// <summary>Decodes a string of the peer. Throws where it holds NUL; other control characters become '?', as it ends up in logs.</summary>
    /// <exception cref="NbdException">The string holds a NUL.</exception>
    public static string DecodeText(ReadOnlySpan<byte> bytes, string what)
    {
        if (bytes.Contains((byte)0))
        {
            throw NbdException.Violation($"{what} holds a NUL character");
        }

        string text = Encoding.UTF8.GetString(bytes);
        return text.Any(char.IsControl) ? string.Concat(text.Select(c => char.IsControl(c) ? '?' : c)) : text;
    }
}

internal enum NbdOption : uint
{
    Abort = 2,
    List = 3,
    StartTls = 5,
    Go = 7,
    StructuredReply = 8,
    SetMetaContext = 10,
}

internal enum NbdOptionReply : uint
{
    Ack = 1,
    Server = 2,
    Info = 3,
    MetaContext = 4,
    ErrorUnsupported = 0x80000001,
    ErrorPolicy = 0x80000002,
    ErrorInvalid = 0x80000003,
    ErrorPlatform = 0x80000004,
    ErrorTlsRequired = 0x80000005,
    ErrorUnknownExport = 0x80000006,
    ErrorShutdown = 0x80000007,
    ErrorBlockSizeRequired = 0x80000008,
    ErrorTooBig = 0x80000009,
}

internal enum NbdInfo : ushort
{
    Export = 0,
    BlockSize = 3,
}

[Flags]
internal enum NbdTransmissionFlags : ushort
{
    HasFlags = 1 << 0,
    ReadOnly = 1 << 1,
    SendFlush = 1 << 2,
    CanMultiConn = 1 << 8,
    SendCache = 1 << 10,
}

internal enum NbdCommand : ushort
{
    Read = 0,
    Disconnect = 2,
    Flush = 3,
    Cache = 5,
    BlockStatus = 7,
}

internal enum NbdChunk : ushort
{
    None = 0,
    OffsetData = 1,
    OffsetHole = 2,
    BlockStatus = 5,
    Error = 0x8001,
    ErrorOffset = 0x8002,
}
