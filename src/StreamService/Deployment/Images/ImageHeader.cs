using System.Buffers.Binary;

namespace StreamService.Deployment.Images;

/// <summary>
/// An image's format by our own reading of its first bytes. Some formats name further files anywhere on the machine, which a
/// program that probes would open.
/// </summary>
internal static class ImageHeader
{
    /// <summary>Bytes that are enough to tell.</summary>
    public const int Length = 512;

    /// <summary>The formats that are read, and that a backing link may name.</summary>
    public static readonly IReadOnlyList<string> Formats = ["raw", "qcow2", "qed"];

    // Places in a qcow2 header (docs/interop/qcow2.txt of QEMU).
    private const int VersionAt = 4;
    private const int EncryptionAt = 32;
    private const int IncompatibleFeaturesAt = 72;
    private const ulong ExternalDataFile = 1 << 2;

    /// <summary>"QFI" and 0xfb, "LUKS" and 0xbabe: no text.</summary>
    private static ReadOnlySpan<byte> QcowMagic => [0x51, 0x46, 0x49, 0xfb];
    private static ReadOnlySpan<byte> LuksMagic => [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe];

    /// <summary>Where a VDI image has its signature.</summary>
    private const int VdiSignatureAt = 0x40;

    /// <summary>The format; or why the image cannot be used, as a sentence without its subject.</summary>
    /// <param name="header">The first <see cref="Length"/> bytes, or all where there are fewer.</param>
    public static (string Format, string? Refusal) Read(ReadOnlySpan<byte> header)
    {
        if (header.IsEmpty)
            return ("raw", "is empty");
        if (header.StartsWith(QcowMagic))
            return ("qcow2", ReadQcow(header));
        if (header.StartsWith("QED\0"u8))
            return ("qed", null);
        return ("raw", Foreign(header) is { } format ? $"is of the format {format}; raw, qcow2 and qed can be used" : null);
    }

    private static string? ReadQcow(ReadOnlySpan<byte> header)
    {
        if (header.Length < IncompatibleFeaturesAt + sizeof(ulong))
            return "has a qcow2 header that is cut off";
        var version = BinaryPrimitives.ReadUInt32BigEndian(header[VersionAt..]);
        if (version is not (2 or 3))
            return $"is of version {version} of the format qcow2; 2 and 3 can be used";
        if (BinaryPrimitives.ReadUInt32BigEndian(header[EncryptionAt..]) != 0)
            return "is encrypted";
        // QEMU before 9.1, where the fix was not carried back, opens that file even to describe the image.
        if (version == 3 && (BinaryPrimitives.ReadUInt64BigEndian(header[IncompatibleFeaturesAt..]) & ExternalDataFile) != 0)
            return "has its data in another file";
        return null;
    }

    private static string? Foreign(ReadOnlySpan<byte> header)
    {
        if (header.StartsWith("KDMV"u8) || header.StartsWith("COWD"u8) || header.StartsWith("# Disk DescriptorFile"u8))
            return "vmdk";
        if (header.StartsWith("vhdxfile"u8))
            return "vhdx";
        if (header.StartsWith("conectix"u8))
            return "vpc";
        if (header.StartsWith(LuksMagic))
            return "luks";
        if (header.StartsWith("WithoutFreeSpace"u8) || header.StartsWith("WithouFreSpacExt"u8))
            return "parallels";
        return header.Length >= VdiSignatureAt + sizeof(uint) && BinaryPrimitives.ReadUInt32LittleEndian(header[VdiSignatureAt..]) == 0xbeda107f ? "vdi" : null;
    }
}
