using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;

namespace StreamService.Deployment;

/// <summary>Whose template it is, and so how far it is trusted.</summary>
public enum TemplateOrigin
{
    /// <summary>A file that the configuration names: trusted.</summary>
    Operator,

    /// <summary>A member of a request: held to <see cref="DomainTemplatePolicy"/>.</summary>
    Caller,
}

/// <summary>What a deployment decides about its domain, whatever the template says.</summary>
/// <param name="Name">By the rule of <see cref="DomainName"/>.</param>
/// <param name="DomainType">kvm or qemu.</param>
/// <param name="Image">repository/name of the image below the system disk.</param>
/// <param name="DiskSource">Absolute path of the overlay.</param>
/// <param name="DiskFormat">qcow2 or qed.</param>
/// <param name="CopyOnRead">What the guest reads from below is written into the overlay.</param>
public sealed record DomainParameters(
    string Name, Guid Id, int MemoryMiB, int Vcpus, string DomainType, string Image, string DiskSource, string DiskFormat, bool CopyOnRead);

/// <summary>A domain that can be defined.</summary>
/// <param name="Xml">In libvirt's format.</param>
/// <param name="Target">The system disk's, such as vda.</param>
public sealed record DomainDefinition(string Xml, string Target);

/// <summary>
/// Makes a domain's description from a template: a description in libvirt's own format, with the placeholders
/// <c>{name}</c>, <c>{id}</c>, <c>{image}</c>, <c>{memoryMiB}</c> and <c>{vcpus}</c> in any text or attribute.
/// Its system disk is the one disk without a source; where it has none, one is added.
/// </summary>
public static partial class DomainTemplate
{
    private const int MaxLength = 1 << 20;
    private const int MaxDepth = 64;

    // Comments and processing instructions mean nothing to libvirt; without them a text is one piece.
    private static readonly XmlReaderSettings Settings = new()
    {
        DtdProcessing = DtdProcessing.Prohibit,
        XmlResolver = null,
        IgnoreComments = true,
        IgnoreProcessingInstructions = true,
    };

    private static readonly Lazy<string> Default = new(ReadDefault);

    /// <summary>Builds the description.</summary>
    /// <param name="template">null for the built-in one.</param>
    /// <param name="allowedFolders">Absolute; a caller's template may name files below them only.</param>
    /// <exception cref="InvalidTemplateException">With every fault of the template.</exception>
    /// <exception cref="ArgumentException">A parameter holds a character that XML has no way to write.</exception>
    public static DomainDefinition Build(string? template, TemplateOrigin origin, DomainParameters parameters, IReadOnlyList<string> allowedFolders)
    {
        var domain = Parse(template ?? Default.Value);
        FillIn(domain, parameters);
        // A libvirt description may have several elements "devices": all of them count.
        var disks = domain.Elements("devices").Elements("disk").ToList();
        var open = disks.Where(disk => ((string?)disk.Attribute("device") ?? "disk") == "disk" && disk.Element("source") is null).ToList();
        // Only now, so that the policy judges what libvirt will see.
        List<string> faults = template is not null && origin == TemplateOrigin.Caller ? [.. DomainTemplatePolicy.Faults(domain, allowedFolders)] : [];
        if (open.Count > 1)
            faults.Add($"{open.Count} disks have no source; it must be one at most, the system disk.");
        if (faults.Count > 0)
            throw new InvalidTemplateException(faults);

        domain.SetAttributeValue("type", parameters.DomainType);
        domain.Elements().Where(element => element.Name.LocalName is "name" or "uuid" or "memory" or "currentMemory" or "vcpu").Remove();
        domain.AddFirst(
            new XElement("name", parameters.Name),
            new XElement("uuid", parameters.Id),
            new XElement("memory", new XAttribute("unit", "MiB"), parameters.MemoryMiB),
            new XElement("currentMemory", new XAttribute("unit", "MiB"), parameters.MemoryMiB),
            new XElement("vcpu", parameters.Vcpus));
        var disk = open.SingleOrDefault() ?? AddDisk(domain);
        SetSource(disk, parameters);
        var target = SetTarget(disk, disks);
        return new DomainDefinition(domain.ToString(), target);
    }

    private static XElement Parse(string xml)
    {
        if (xml.Length > MaxLength)
            throw new InvalidTemplateException([$"The template has more than {MaxLength} characters."]);
        try
        {
            using (var reader = XmlReader.Create(new StringReader(xml), Settings))
                while (reader.Read())
                    if (reader.NodeType == XmlNodeType.Element && reader.Depth >= MaxDepth)
                        throw new InvalidTemplateException([$"The template nests more than {MaxDepth} elements."]);
            using (var reader = XmlReader.Create(new StringReader(xml), Settings))
                if (XElement.Load(reader) is var root && root.Name == "domain")
                    return root;
            throw new InvalidTemplateException(["The template's root is not an element domain without a namespace."]);
        }
        catch (XmlException e)
        {
            // The message ends with the line and the position. The reader has neither for what it refuses as a whole.
            throw new InvalidTemplateException([e.LineNumber > 0
                ? "The template is not well formed: " + e.Message
                : "The template is empty, or has a document type, which is not allowed."]);
        }
    }

    /// <summary>One pass over each value: what a parameter brings in is not looked at again.</summary>
    private static void FillIn(XElement domain, DomainParameters parameters)
    {
        string Filled(string text) => Placeholder().Replace(text, match => match.Groups[1].Value switch
        {
            "name" => parameters.Name,
            "id" => parameters.Id.ToString(),
            "image" => parameters.Image,
            "memoryMiB" => parameters.MemoryMiB.ToString(CultureInfo.InvariantCulture),
            _ => parameters.Vcpus.ToString(CultureInfo.InvariantCulture),
        });

        foreach (var text in domain.DescendantNodes().OfType<XText>())
            text.Value = Filled(text.Value);
        foreach (var attribute in domain.DescendantsAndSelf().Attributes().Where(attribute => !attribute.IsNamespaceDeclaration))
            attribute.Value = Filled(attribute.Value);
    }

    private static XElement AddDisk(XElement domain)
    {
        var disk = new XElement("disk", new XAttribute("device", "disk"));
        var devices = domain.Element("devices");
        if (devices is null)
            domain.Add(devices = new XElement("devices"));
        devices.AddFirst(disk);
        return disk;
    }

    private static void SetSource(XElement disk, DomainParameters parameters)
    {
        var driver = disk.Element("driver") ?? new XElement("driver");
        driver.SetAttributeValue("name", "qemu");
        driver.SetAttributeValue("type", parameters.DiskFormat);
        driver.SetAttributeValue("copy_on_read", parameters.CopyOnRead ? "on" : "off");
        if (driver.Attribute("discard") is null)
            driver.SetAttributeValue("discard", "unmap");
        // What lies below, libvirt reads from the overlay itself.
        disk.Elements().Where(element => element.Name.LocalName is "driver" or "backingStore" or "mirror").Remove();
        disk.AddFirst(driver, new XElement("source", new XAttribute("file", parameters.DiskSource)));
        disk.SetAttributeValue("type", "file");
    }

    /// <returns>The target as the template has it, or else the first that no other disk has.</returns>
    private static string SetTarget(XElement disk, List<XElement> disks)
    {
        var target = disk.Element("target") ?? new XElement("target");
        disk.Elements("target").Remove();
        disk.Element("source")!.AddAfterSelf(target);
        if ((string?)target.Attribute("dev") is { Length: > 0 } given)
            return given;

        var bus = (string?)target.Attribute("bus") ?? "virtio";
        // libvirt's names of disks by their bus.
        var prefix = bus switch { "virtio" => "vd", "ide" => "hd", _ => "sd" };
        var taken = disks.Elements("target").Attributes("dev").Select(dev => dev.Value).ToHashSet();
        var free = Enumerable.Range('a', 26).Select(letter => prefix + (char)letter).FirstOrDefault(name => !taken.Contains(name))
            ?? throw new InvalidTemplateException([$"No target of {prefix}a to {prefix}z is left for the system disk."]);
        target.SetAttributeValue("dev", free);
        target.SetAttributeValue("bus", bus);
        return free;
    }

    private static string ReadDefault()
    {
        using var reader = new StreamReader(typeof(DomainTemplate).Assembly.GetManifestResourceStream("DomainTemplate.xml")!);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"\{(name|id|image|memoryMiB|vcpus)\}")]
    private static partial Regex Placeholder();
}
