using System.Text;
using System.Xml.Linq;
using StreamService.Deployment;
using StreamService.Qemu.Libvirt;

namespace StreamService.Tests.Deployment;

public sealed class DomainTemplateTests
{
    private static readonly DomainParameters Parameters = new(
        "web-1", Guid.Parse("837f7d0d-4f64-4887-a552-c10ca7cc19ab"), 768, 2, "kvm", "central/debian-12", "/overlays/web-1.qcow2", "qcow2", CopyOnRead: true);

    [Theory]
    [InlineData("kvm")]
    [InlineData("qemu")]
    public void Without_a_template_the_built_in_one_makes_a_domain(string type)
    {
        var (domain, target) = Build(null, Parameters with { DomainType = type });

        Assert.Equal(type, (string?)domain.Attribute("type"));
        Assert.Equal(["name", "uuid", "memory", "currentMemory", "vcpu"], domain.Elements().Take(5).Select(element => element.Name.LocalName));
        Assert.Equal(("web-1", Parameters.Id.ToString()), ((string?)domain.Element("name"), (string?)domain.Element("uuid")));
        Assert.Equal("<memory unit=\"MiB\">768</memory>", domain.Element("memory")!.ToString());
        Assert.Equal("<currentMemory unit=\"MiB\">768</currentMemory>", domain.Element("currentMemory")!.ToString());
        Assert.Equal("<vcpu>2</vcpu>", domain.Element("vcpu")!.ToString());
        Assert.Equal("Deployed from central/debian-12", (string?)domain.Element("description"));
        Assert.Equal("maximum", (string?)domain.Element("cpu")?.Attribute("mode"));
        Assert.Empty(domain.Descendants("interface"));
        Assert.Empty(domain.Descendants("graphics"));
        Assert.Equal("vda", target);
        AssertXml(
            """
            <disk device="disk" type="file">
              <driver name="qemu" type="qcow2" copy_on_read="on" discard="unmap"/>
              <source file="/overlays/web-1.qcow2"/>
              <target dev="vda" bus="virtio"/>
            </disk>
            """, Assert.Single(domain.Descendants("disk")));
    }

    [Fact]
    public void The_service_reads_what_it_has_built()
    {
        var definition = DomainTemplate.Build(
            $"<domain><metadata><l:labels xmlns:l='{DomainXml.LabelsNamespace}'>web {{name}}</l:labels></metadata></domain>",
            TemplateOrigin.Caller, Parameters with { DiskFormat = "qed", CopyOnRead = false }, []);

        var domain = DomainXml.Parse(definition.Xml);
        var disk = Assert.Single(domain.Disks);
        Assert.Equal(("web-1", Parameters.Id, "kvm"), (domain.Name, domain.Uuid, domain.Type));
        Assert.Equal(["web", "web-1"], domain.Labels);
        Assert.Equal((definition.Target, "/overlays/web-1.qcow2", "qed", false), (disk.Target, disk.Source, disk.Format, disk.CopyOnRead));
    }

    [Fact]
    public void What_the_deployment_decides_overrides_the_template()
    {
        var (domain, _) = Build(
            """
            <domain type='xen' id='7'>
              <memory unit='GiB'>900</memory><memory>1</memory><currentMemory>5</currentMemory><vcpu placement='static' cpuset='0' current='1'>64</vcpu>
              <name>mine</name><uuid>00000000-0000-0000-0000-000000000001</uuid><name>other</name>
            </domain>
            """);

        Assert.Equal("kvm", (string?)domain.Attribute("type"));
        Assert.Equal(["name", "uuid", "memory", "currentMemory", "vcpu", "devices"], domain.Elements().Select(element => element.Name.LocalName));
        Assert.Equal("<vcpu>2</vcpu>", domain.Element("vcpu")!.ToString());
    }

    [Fact]
    public void The_system_disk_keeps_what_the_template_says_of_it()
    {
        var (domain, target) = Build(
            """
            <domain><devices>
              <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
              <disk type='block'>
                <target dev='sdb' bus='scsi'/>
                <backingStore type='block'><source dev='/dev/sda'/></backingStore>
                <mirror type='block'><source dev='/dev/sdb'/></mirror>
                <driver name='tap' type='raw' cache='none' io='native' discard='ignore' copy_on_read='off'/>
                <driver type='vmdk'/>
                <boot order='1'/>
              </disk>
            </devices></domain>
            """);

        Assert.Equal("sdb", target);
        AssertXml(
            """
            <disk type="file">
              <driver name="qemu" type="qcow2" cache="none" io="native" discard="ignore" copy_on_read="on"/>
              <source file="/overlays/web-1.qcow2"/>
              <target dev="sdb" bus="scsi"/>
              <boot order="1"/>
            </disk>
            """, domain.Descendants("disk").Last());
    }

    [Theory]
    [InlineData("", "vda", "virtio")]
    [InlineData("<disk/>", "vda", "virtio")]
    [InlineData("<disk device='disk'><target/></disk>", "vda", "virtio")]
    [InlineData("<disk><target bus='sata'/></disk>", "sda", "sata")]
    [InlineData("<disk><target bus='ide'/></disk>", "hda", "ide")]
    [InlineData("<disk><target dev='vdc'/></disk>", "vdc", null)]
    [InlineData("<disk device='cdrom'><target dev='vda'/></disk>", "vdb", "virtio")]
    [InlineData("<disk><source file='/a'/><target dev='vda' bus='virtio'/></disk><disk><source file='/b'/><target dev='vdc'/></disk>", "vdb", "virtio")]
    [InlineData("<disk><source file='/a'/><target dev='vda' bus='virtio'/></disk><disk/>", "vdb", "virtio")]
    public void The_system_disk_gets_a_target_where_it_has_none(string disks, string target, string? bus)
    {
        var (domain, given) = Build($"<domain><devices>{disks}</devices></domain>");

        var disk = Assert.Single(domain.Descendants("disk"), disk => (string?)disk.Element("source")?.Attribute("file") == Parameters.DiskSource);
        Assert.Equal((target, target, bus), (given, (string?)disk.Element("target")!.Attribute("dev"), (string?)disk.Element("target")!.Attribute("bus")));
    }

    [Fact]
    public void Only_one_disk_can_be_the_system_disk()
    {
        Assert.Equal(["2 disks have no source; it must be one at most, the system disk."],
            Faults("<domain><devices><disk/></devices><devices><disk device='disk'><target dev='vdb'/></disk></devices></domain>"));
    }

    [Fact]
    public void All_targets_may_be_taken()
    {
        var disks = string.Concat(Enumerable.Range('a', 26).Select(letter => $"<disk device='cdrom'><target dev='vd{(char)letter}'/></disk>"));

        Assert.Contains("vda to vdz", Assert.Single(Faults($"<domain><devices>{disks}</devices></domain>")), StringComparison.Ordinal);
    }

    [Fact]
    public void Placeholders_are_filled_in_once_and_others_left_alone()
    {
        var (domain, _) = Build(
            """
            <domain>
              <title>{name} {id} {image} {memoryMiB} {vcpus} {Name} {} {nam{name}e} {other}</title>
              <metadata><own xmlns='urn:own' tag='{image}'>{name}</own></metadata>
              <os><cmdline>a={x} b={vcpus}</cmdline></os>
            </domain>
            """, Parameters with { Image = "{name}/{vcpus}<&>" });

        Assert.Equal($"web-1 {Parameters.Id} {{name}}/{{vcpus}}<&> 768 2 {{Name}} {{}} {{namweb-1e}} {{other}}", (string?)domain.Element("title"));
        Assert.Equal("a={x} b=2", (string?)domain.Element("os")!.Element("cmdline"));
        var own = domain.Element("metadata")!.Elements().Single();
        Assert.Equal(("web-1", "{name}/{vcpus}<&>"), (own.Value, (string?)own.Attribute("tag")));
    }

    [Theory]
    [InlineData("/o/'\"><source file='/etc/shadow'/><x a='")]
    [InlineData("/o/&amp;&lt;&#10;&x;")]
    [InlineData("/o/]]><!-- <?pi?> <![CDATA[")]
    [InlineData("/o/line\nline\ttab\rreturn")]
    [InlineData("/o/{name}{id}")]
    [InlineData("/o/\u00fc\u2028\U0001f4be")]
    public void Parameters_come_out_as_text_and_nothing_else(string value)
    {
        var plain = Build(null).Domain;
        var (domain, _) = Build(null, Parameters with { DiskSource = value, DiskFormat = value, DomainType = value });

        Assert.Equal(value, (string?)domain.Descendants("source").Single().Attribute("file"));
        Assert.Equal(value, (string?)domain.Descendants("driver").Single().Attribute("type"));
        Assert.Equal(value, (string?)domain.Attribute("type"));
        Assert.Equal(Shape(plain), Shape(domain));
    }

    [Theory]
    [InlineData("</name><devices/>")]
    [InlineData("&lt;]]>&x;")]
    [InlineData("'\"<!--")]
    public void Names_come_out_as_text_and_nothing_else(string value)
    {
        var (domain, _) = Build(null, Parameters with { Name = value, Image = value });

        Assert.Equal(value, (string?)domain.Element("name"));
        Assert.Equal("Deployed from " + value, (string?)domain.Element("description"));
        Assert.Equal(Shape(Build(null).Domain), Shape(domain));
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("domain", "Line 1, position 1")]
    [InlineData("<domain>\n  <name></domain>", "Line 2, position 11")]
    [InlineData("<domain/><domain/>", "not well formed")]
    [InlineData("<domain>&undefined;</domain>", "not well formed")]
    [InlineData("<domain a='1' a='2'/>", "not well formed")]
    [InlineData("<domain><name>&#0;</name></domain>", "not well formed")]
    [InlineData("<!DOCTYPE domain><domain/>", "document type")]
    [InlineData("<!DOCTYPE d SYSTEM 'http://127.0.0.1:1/d.dtd'><domain/>", "document type")]
    [InlineData("<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><domain><name>&x;</name></domain>", "document type")]
    [InlineData("<!DOCTYPE d [<!ENTITY % p SYSTEM 'file:///etc/hostname'>%p;]><domain/>", "document type")]
    [InlineData("<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'><!ENTITY c '&b;&b;&b;'>]><domain><name>&c;</name></domain>", "document type")]
    [InlineData("<network/>", "root")]
    [InlineData("<Domain/>", "root")]
    [InlineData("<domain xmlns='urn:other'/>", "root")]
    [InlineData("<q:domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>", "root")]
    public void What_is_no_template_is_one_fault(string template, string fault)
    {
        Assert.Contains(fault, Assert.Single(Faults(template)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_template_has_an_end()
    {
        Assert.Contains("characters", Assert.Single(Faults($"<domain><description>{new string('x', 1 << 20)}</description></domain>")), StringComparison.Ordinal);
        Build($"<domain><description>{new string('x', 1 << 19)}</description></domain>");
    }

    [Fact]
    public void A_template_is_not_deep()
    {
        Build(Nested(64));
        Assert.Contains("64", Assert.Single(Faults(Nested(65))), StringComparison.Ordinal);
        Assert.Contains("64", Assert.Single(Faults(Nested(100_000))), StringComparison.Ordinal);

        static string Nested(int depth) => new StringBuilder("<domain>").Insert(8, "<a>", depth - 1).Append('x').Insert(8 + 3 * (depth - 1) + 1, "</a>", depth - 1).Append("</domain>").ToString();
    }

    [Fact]
    public void Comments_and_processing_instructions_are_dropped()
    {
        var xml = DomainTemplate.Build(
            "<?xml version='1.0'?><?a b?><!-- c --><domain><?d e?><title>o<!-- f -->n<?g?>e</title></domain><?h?>", TemplateOrigin.Caller, Parameters, []).Xml;

        Assert.DoesNotContain("<?", xml, StringComparison.Ordinal);
        Assert.DoesNotContain("<!", xml, StringComparison.Ordinal);
        Assert.Contains("<title>one</title>", xml, StringComparison.Ordinal);
    }

    [Fact]
    public void The_operators_own_template_may_hold_anything()
    {
        var (domain, _) = Build(
            """
            <domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
              <devices><emulator>/opt/qemu</emulator><hostdev mode='subsystem' type='pci'/></devices>
              <qemu:commandline><qemu:arg value='-S'/></qemu:commandline>
            </domain>
            """);

        Assert.Equal("/opt/qemu", (string?)domain.Descendants("emulator").Single());
        Assert.Single(domain.Elements(XName.Get("commandline", "http://libvirt.org/schemas/domain/qemu/1.0")));
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("web-1.example_A", true)]
    [InlineData("0", true)]
    [InlineData("", false)]
    [InlineData(".hidden", false)]
    [InlineData("..", false)]
    [InlineData("-option", false)]
    [InlineData("_a", false)]
    [InlineData("a/b", false)]
    [InlineData("a b", false)]
    [InlineData("a\n", false)]
    [InlineData("a\0", false)]
    [InlineData("\u00e4", false)]
    [InlineData("\u0661", false)]
    public void Names_are_plain(string name, bool valid)
    {
        Assert.Equal(valid, DomainName.IsValid(name));
        Assert.True(DomainName.IsValid(new string('a', 64)));
        Assert.False(DomainName.IsValid(new string('a', 65)));
    }

    private static (XElement Domain, string Target) Build(string? template, DomainParameters? parameters = null)
    {
        var definition = DomainTemplate.Build(template, TemplateOrigin.Operator, parameters ?? Parameters, []);
        return (XElement.Parse(definition.Xml), definition.Target);
    }

    private static IReadOnlyList<string> Faults(string template) =>
        Assert.Throws<InvalidTemplateException>(() => DomainTemplate.Build(template, TemplateOrigin.Operator, Parameters, [])).Faults;

    private static IEnumerable<string> Shape(XElement domain) => domain.DescendantsAndSelf().Select(element => element.Name.ToString());

    /// <summary>The same elements, texts and attributes, the latter in any order.</summary>
    private static void AssertXml(string expected, XElement actual)
    {
        Assert.Equal(Sorted(XElement.Parse(expected)).ToString(), Sorted(actual).ToString());

        static XElement Sorted(XElement element) =>
            new(element.Name, element.Attributes().OrderBy(attribute => attribute.Name.LocalName, StringComparer.Ordinal), element.Elements().Select(Sorted));
    }
}
