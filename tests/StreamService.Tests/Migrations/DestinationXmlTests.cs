using System.Xml.Linq;
using StreamService.Migrations;

namespace StreamService.Tests.Migrations;

public sealed class DestinationXmlTests
{
    private const string Source = """
        <domain type='kvm' id='3'>
          <name>vm</name>
          <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
          <devices>
            <emulator>/usr/bin/qemu-system-x86_64</emulator>
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
              <source file='/images/vda.64ca6122.qcow2' index='3'/>
              <backingStore type='file' index='1'><format type='raw'/><source file='/images/vda.raw'/><backingStore/></backingStore>
              <mirror type='network' job='copy'/>
              <target dev='vda' bus='virtio'/>
              <serial>A1</serial>
            </disk>
            <disk type='file' device='disk'>
              <source file='/images/vdb.64ca6122.qcow2'/>
              <target dev='vdb' bus='virtio'/>
            </disk>
            <disk type='file' device='cdrom'>
              <driver name='qemu' type='raw'/>
              <source file='/iso/a.iso'/>
              <target dev='sda' bus='sata'/>
              <readonly/>
            </disk>
          </devices>
        </domain>
        """;

    [Fact]
    public void Moved_disks_are_overlays_on_their_exports()
    {
        var disk = Disk(DestinationXml.Build(Source, Sample.Migration("qed"), tls: false, live: true), "vda");

        Assert.Equal("/other/vda.raw", (string?)disk.Element("source")!.Attribute("file"));
        Assert.Null(disk.Element("source")!.Attribute("index"));
        Assert.Equal("qed", (string?)disk.Element("driver")!.Attribute("type"));
        var backing = disk.Element("backingStore")!;
        Assert.Equal("network", (string?)backing.Attribute("type"));
        Assert.Equal("raw", (string?)backing.Element("format")!.Attribute("type"));
        var source = backing.Element("source")!;
        Assert.Equal("streamservice-01a20830ab2e792eac28580e64ca6122-vda", (string?)source.Attribute("name"));
        Assert.Equal("10.0.0.1", (string?)source.Element("host")!.Attribute("name"));
        Assert.Equal("10810", (string?)source.Element("host")!.Attribute("port"));
        Assert.Null(source.Attribute("tls"));
        Assert.True(backing.Element("backingStore")!.IsEmpty);
        Assert.Single(disk.Elements("backingStore"));
        Assert.Null(disk.Element("mirror"));
    }

    [Fact]
    public void What_the_guest_sees_stays()
    {
        var disk = Disk(DestinationXml.Build(Source, Sample.Migration(), tls: false, live: true), "vda");

        Assert.Equal("A1", disk.Element("serial")!.Value);
        Assert.Equal("none", (string?)disk.Element("driver")!.Attribute("cache"));
        Assert.Equal("unmap", (string?)disk.Element("driver")!.Attribute("discard"));
    }

    [Fact]
    public void A_disk_without_driver_gets_one() =>
        Assert.Equal("qcow2", (string?)Disk(DestinationXml.Build(Source, Sample.Migration(), tls: false, live: true), "vdb").Element("driver")!.Attribute("type"));

    [Fact]
    public void An_error_of_a_moved_disk_stops_the_guest_until_its_next_start()
    {
        var running = Disk(DestinationXml.Build(Source, Sample.Migration(), tls: false, live: true), "vda").Element("driver")!;
        Assert.Equal(("stop", "stop"), ((string?)running.Attribute("error_policy"), (string?)running.Attribute("rerror_policy")));
        var defined = Disk(DestinationXml.Build(Source, Sample.Migration(), tls: false, live: false), "vda").Element("driver")!;
        Assert.Null(defined.Attribute("error_policy") ?? defined.Attribute("rerror_policy"));
        var chosen = Source.Replace("cache='none'", "cache='none' error_policy='report'", StringComparison.Ordinal);
        Assert.Equal("report", (string?)Disk(DestinationXml.Build(chosen, Sample.Migration(), tls: false, live: true), "vda").Element("driver")!.Attribute("error_policy"));
    }

    [Fact]
    public void Disks_that_stay_are_left_alone() =>
        Assert.Equal(
            Disk(Source, "sda").ToString(SaveOptions.DisableFormatting),
            Disk(DestinationXml.Build(Source, Sample.Migration(), tls: false, live: true), "sda").ToString(SaveOptions.DisableFormatting));

    [Fact]
    public void With_tls_the_exports_say_so() =>
        Assert.Equal("yes", (string?)Disk(DestinationXml.Build(Source, Sample.Migration(), tls: true, live: true), "vda").Element("backingStore")!.Element("source")!.Attribute("tls"));

    [Fact]
    public void A_disk_that_is_gone_is_a_fault() =>
        Assert.Contains("vdb", Assert.Throws<FormatException>(() =>
            DestinationXml.Build(Source.Replace("dev='vdb'", "dev='vdc'", StringComparison.Ordinal), Sample.Migration(), tls: false, live: true)).Message, StringComparison.Ordinal);

    [Fact]
    public void The_probe_is_of_the_domains_kind()
    {
        var probe = XElement.Parse(DestinationXml.BuildProbe(Source, "probe", "10.0.0.1", 10900, "export", tls: false));

        Assert.Equal("kvm", (string?)probe.Attribute("type"));
        Assert.Equal("pc-q35-7.2", (string?)probe.Element("os")!.Element("type")!.Attribute("machine"));
        Assert.Equal("/usr/bin/qemu-system-x86_64", probe.Element("devices")!.Element("emulator")!.Value);
        Assert.NotNull(probe.Element("devices")!.Element("disk")!.Element("readonly"));
        Assert.Null(probe.Element("uuid"));
    }

    [Theory]
    [InlineData("10.0.0.1", "nbd://10.0.0.1:10810/streamservice-01a20830ab2e792eac28580e64ca6122-vda")]
    [InlineData("fd00::1", "nbd://[fd00::1]:10810/streamservice-01a20830ab2e792eac28580e64ca6122-vda")]
    public void Exports_have_addresses(string address, string expected)
    {
        var migration = Sample.Migration(address: address);
        Assert.Equal(expected, migration.ExportUri(migration.Disks[0]));
        Assert.Null(migration.ExportUri(migration.Disks[0] with { Port = 0 }));
    }

    private static XElement Disk(string xml, string target) =>
        XElement.Parse(xml).Element("devices")!.Elements("disk").Single(disk => (string?)disk.Element("target")!.Attribute("dev") == target);
}
