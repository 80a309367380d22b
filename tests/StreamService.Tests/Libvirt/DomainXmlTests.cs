using System.Text;
using StreamService.Qemu.Libvirt;

namespace StreamService.Tests.Libvirt;

public sealed class DomainXmlTests
{
    [Fact]
    public void A_running_domain_tells_its_disk_and_the_whole_chain()
    {
        var domain = DomainXml.Parse(
            """
            <domain type='qemu' id='1'>
              <name>x1</name>
              <uuid>837f7d0d-4f64-4887-a552-c10ca7cc19ab</uuid>
              <devices>
                <disk type='file' device='disk'>
                  <driver name='qemu' type='qcow2' copy_on_read='on' discard='unmap'/>
                  <source file='/images/top.qcow2' index='1'/>
                  <backingStore type='file' index='2'>
                    <format type='qcow2'/>
                    <source file='/images/mid.qcow2'/>
                    <backingStore type='network' index='3'>
                      <format type='raw'/>
                      <source protocol='nbd' name='base'><host name='images.example' port='10809'/></source>
                      <backingStore/>
                    </backingStore>
                  </backingStore>
                  <target dev='vda' bus='virtio'/>
                  <alias name='virtio-disk0'/>
                </disk>
                <disk type='file' device='cdrom'>
                  <target dev='sda' bus='sata'/>
                  <readonly/>
                </disk>
              </devices>
            </domain>
            """);

        Assert.Equal(("x1", Guid.Parse("837f7d0d-4f64-4887-a552-c10ca7cc19ab"), "qemu"), (domain.Name, domain.Uuid, domain.Type));
        var disk = domain.Disks[0];
        Assert.Equal(("vda", "virtio", "virtio-disk0", "disk", "qcow2"), (disk.Target, disk.Bus, disk.Alias, disk.Device, disk.Format));
        Assert.Equal(("/images/top.qcow2", 1), (disk.Source, disk.SourceIndex));
        Assert.True(disk.CopyOnRead);
        Assert.False(disk.ReadOnly || disk.Shareable || disk.HasMirror);
        Assert.Equal(
            [new ChainElement("/images/mid.qcow2", "qcow2", 2), new ChainElement("nbd://images.example:10809/base", "raw", 3)],
            disk.BackingChain);
        Assert.True(disk.BackingChainKnown);
        var drive = domain.Disks[1];
        Assert.Equal(("cdrom", true, null), (drive.Device, drive.ReadOnly, drive.Source));
        Assert.False(drive.BackingChainKnown);
    }

    [Theory]
    [InlineData("<disk type='block'><source dev='/dev/vg/a'/>", "/dev/vg/a")]
    [InlineData("<disk><source file='/a b.qcow2'/>", "/a b.qcow2")]
    [InlineData("<disk type='volume'><source pool='p' volume='v'/>", "volume:p/v")]
    [InlineData("<disk type='network'><source protocol='nbd'><host name='h'/></source>", "nbd://h/")]
    [InlineData("<disk type='network'><source protocol='nbd' name='a/b c?'><host name='h' port='1'/></source>", "nbd://h:1/a/b%20c%3F")]
    [InlineData("<disk type='network'><source protocol='nbd' name='n'><host name='::1' port='1'/></source>", "nbd://[::1]:1/n")]
    [InlineData("<disk type='network'><source protocol='nbd' tls='yes' name='n'><host name='h' port='1'/></source>", "nbds://h:1/n")]
    [InlineData("<disk type='network'><source protocol='nbd' name='n'><host transport='unix' socket='/run/a b&amp;c'/></source>", "nbd+unix:///n?socket=/run/a%20b%26c")]
    [InlineData("<disk type='network'><source protocol='https' name='i/a.img' query='k=v'><host name='h' port='443'/></source>", "https://h:443/i/a.img?k=v")]
    [InlineData("<disk type='network'><source protocol='rbd' name='pool/i'><host name='a' port='6789'/><host name='b' port='6789'/></source>", "rbd://a:6789,b:6789/pool/i")]
    [InlineData("<disk type='network'><source name='n'/>", null)]
    [InlineData("<disk type='vhostuser'><source type='unix' path='/s'/>", null)]
    [InlineData("<disk type='file'>", null)]
    public void Each_kind_of_source_becomes_one_text(string opening, string? source)
    {
        var disk = ParseDisk(opening + "<target dev='vda'/></disk>");

        Assert.Equal(source, disk.Source);
        Assert.Equal("disk", disk.Device);
        Assert.Empty(disk.BackingChain);
    }

    [Fact]
    public void Flags_are_elements()
    {
        var disk = ParseDisk("<disk type='file' device='lun'><target dev='sdb'/><shareable/><readonly/><mirror type='file'/><backingStore/></disk>");

        Assert.True(disk.Shareable && disk.ReadOnly && disk.HasMirror && disk.BackingChainKnown);
        Assert.Equal("lun", disk.Device);
        Assert.Null(disk.Bus);
    }

    [Fact]
    public void A_description_without_devices_or_uuid_is_one_all_the_same()
    {
        var domain = DomainXml.Parse("<domain><name> n </name></domain>");

        Assert.Equal("n", domain.Name);
        Assert.Null(domain.Uuid);
        Assert.Empty(domain.Disks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("<domain")]
    [InlineData("<domain/>")]
    [InlineData("<network><name>n</name></network>")]
    [InlineData("<domain><name/></domain>")]
    [InlineData("<domain><name>n</name><devices><disk><target/></disk></devices></domain>")]
    [InlineData("<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><domain><name>&x;</name></domain>")]
    [InlineData("<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain><name>&b;</name></domain>")]
    public void What_is_no_description_is_refused(string xml)
    {
        Assert.Throws<FormatException>(() => DomainXml.Parse(xml));
    }

    [Fact]
    public void A_chain_without_an_end_is_refused()
    {
        var xml = new StringBuilder("<disk><target dev='vda'/>");
        for (var i = 0; i < 5000; i++)
            xml.Append("<backingStore type='file'>");
        for (var i = 0; i < 5000; i++)
            xml.Append("</backingStore>");

        Assert.Throws<FormatException>(() => ParseDisk(xml.Append("</disk>").ToString()));
    }

    [Fact]
    public void Elements_of_other_namespaces_are_not_mistaken()
    {
        var domain = DomainXml.Parse(
            "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:name>other</q:name><name>n</name>"
            + "<devices><q:disk><target dev='vda'/></q:disk></devices></domain>");

        Assert.Equal("n", domain.Name);
        Assert.Empty(domain.Disks);
    }

    private static DomainDisk ParseDisk(string disk) =>
        Assert.Single(DomainXml.Parse($"<domain><name>n</name><devices>{disk}</devices></domain>").Disks);
}
