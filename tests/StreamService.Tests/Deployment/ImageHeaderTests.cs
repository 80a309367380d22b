using System.Buffers.Binary;
using System.Text;
using StreamService.Deployment.Images;

namespace StreamService.Tests.Deployment;

public sealed class ImageHeaderTests
{
    [Fact]
    public void Qcow2_of_both_versions_and_qed_are_known_by_their_magic()
    {
        Assert.Equal(("qcow2", null), ImageHeader.Read(Qcow(version: 2)));
        Assert.Equal(("qcow2", null), ImageHeader.Read(Qcow(version: 3)));
        Assert.Equal(("qed", null), ImageHeader.Read(Begin("QED\0")));
    }

    [Theory]
    [InlineData("")]
    [InlineData("QEDx")]
    [InlineData("QFI")]
    [InlineData("qed\0")]
    [InlineData("\u00ebX\u0090NTFS")]
    [InlineData("# Disk")]
    [InlineData(" KDMV")]
    public void Anything_else_is_raw(string beginning) => Assert.Equal(("raw", null), ImageHeader.Read(Begin(beginning)));

    [Fact]
    public void Few_bytes_are_enough_for_raw_and_too_few_for_qcow2()
    {
        Assert.Equal(("raw", null), ImageHeader.Read([1]));
        Assert.Equal("is empty", ImageHeader.Read([]).Refusal);
        Assert.Equal("has a qcow2 header that is cut off", ImageHeader.Read(Qcow(version: 3).AsSpan(0, 79)).Refusal);
        Assert.Equal("has a qcow2 header that is cut off", ImageHeader.Read("QFI"u8.ToArray().Append((byte)0xfb).ToArray()).Refusal);
    }

    [Theory]
    [InlineData("KDMV", "vmdk")]
    [InlineData("COWD", "vmdk")]
    [InlineData("# Disk DescriptorFile\nversion=1", "vmdk")]
    [InlineData("vhdxfile", "vhdx")]
    [InlineData("conectix", "vpc")]
    [InlineData("LUKS\u00ba\u00be", "luks")]
    [InlineData("WithoutFreeSpace", "parallels")]
    [InlineData("WithouFreSpacExt", "parallels")]
    public void Foreign_formats_are_refused_by_name(string beginning, string format) =>
        Assert.Equal($"is of the format {format}; raw, qcow2 and qed can be used", ImageHeader.Read(Begin(beginning)).Refusal);

    [Fact]
    public void Vdi_is_known_by_its_signature()
    {
        var header = Begin("<<< Oracle VM VirtualBox Disk Image >>>\n");
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(0x40), 0xbeda107f);
        Assert.Contains("vdi", ImageHeader.Read(header).Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Features_of_qcow2_that_lead_out_of_the_file_are_refused()
    {
        Assert.Equal("has its data in another file", ImageHeader.Read(Qcow(version: 3, features: 4)).Refusal);
        Assert.Equal("has its data in another file", ImageHeader.Read(Qcow(version: 3, features: ulong.MaxValue)).Refusal);
        Assert.Null(ImageHeader.Read(Qcow(version: 3, features: 1 | 8)).Refusal);
        // Version 2 has something else there.
        Assert.Null(ImageHeader.Read(Qcow(version: 2, features: 4)).Refusal);
        Assert.Equal("is encrypted", ImageHeader.Read(Qcow(version: 2, encryption: 1)).Refusal);
        Assert.Equal("is encrypted", ImageHeader.Read(Qcow(version: 3, encryption: 2)).Refusal);
        foreach (var version in new uint[] { 0, 1, 4, uint.MaxValue })
            Assert.Contains($"version {version}", ImageHeader.Read(Qcow(version)).Refusal, StringComparison.Ordinal);
    }

    private static byte[] Qcow(uint version, uint encryption = 0, ulong features = 0)
    {
        var header = Begin("QFI\u00fb");
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(4), version);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(32), encryption);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(72), features);
        return header;
    }

    private static byte[] Begin(string text)
    {
        var header = new byte[ImageHeader.Length];
        Encoding.Latin1.GetBytes(text, header);
        return header;
    }
}
