using System.Globalization;
using System.Xml;
using System.Xml.Linq;

namespace StreamService.Qemu.Libvirt;

/// <summary>What is read out of a domain's description (libvirt's formatdomain).</summary>
/// <param name="Type">kvm, qemu, ...</param>
/// <param name="Uuid">null in a description that libvirt has not seen yet.</param>
public sealed record DomainXml(string Name, Guid? Uuid, string? Type, IReadOnlyList<DomainDisk> Disks)
{
    /// <summary>libvirt itself refuses chains of more than 200 layers.</summary>
    private const int MaxChainLength = 256;

    /// <summary>The namespace of the element of a domain's metadata that holds its labels.</summary>
    public const string LabelsNamespace = "urn:streamservice:labels:1";

    private static readonly XmlReaderSettings Settings = new()
    {
        DtdProcessing = DtdProcessing.Prohibit,
        XmlResolver = null,
        MaxCharactersInDocument = 16 * 1024 * 1024,
    };

    /// <summary>
    /// The words in the metadata element <c>labels</c> of <see cref="LabelsNamespace"/>, separated by white space or commas.
    /// </summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>Reads a description.</summary>
    /// <exception cref="FormatException">Not XML, not a domain, without a name, or with a document type.</exception>
    public static DomainXml Parse(string xml)
    {
        try
        {
            using var reader = XmlReader.Create(new StringReader(xml), Settings);
            var root = XDocument.Load(reader).Root;
            if (root is null || root.Name != "domain")
                throw new FormatException("The description is not that of a domain.");
            return new DomainXml(
                Text(root.Element("name")) ?? throw new FormatException("The domain has no name."),
                Guid.TryParse(Text(root.Element("uuid")), out var uuid) ? uuid : null,
                (string?)root.Attribute("type"),
                [.. root.Elements("devices").Elements("disk").Select(ParseDisk)])
            {
                Labels = ParseLabels(root),
            };
        }
        catch (XmlException e)
        {
            throw new FormatException("The description is not well formed: " + e.Message, e);
        }
    }

    private static string[] ParseLabels(XElement root) =>
        ((string?)root.Elements("metadata").Elements(XName.Get("labels", LabelsNamespace)).FirstOrDefault() ?? "")
            .Split([' ', ',', '\t', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries);

    private static DomainDisk ParseDisk(XElement disk)
    {
        var driver = disk.Element("driver");
        var target = disk.Element("target");
        var (chain, known) = ParseChain(disk);
        return new DomainDisk
        {
            Target = (string?)target?.Attribute("dev") ?? throw new FormatException("A disk has no target."),
            Bus = (string?)target?.Attribute("bus"),
            Alias = (string?)disk.Element("alias")?.Attribute("name"),
            Device = (string?)disk.Attribute("device") ?? "disk",
            ReadOnly = disk.Element("readonly") is not null,
            Shareable = disk.Element("shareable") is not null,
            Format = (string?)driver?.Attribute("type"),
            CopyOnRead = (string?)driver?.Attribute("copy_on_read") == "on",
            Source = SourceXml.Render((string?)disk.Attribute("type"), disk.Element("source")),
            SourceIndex = Index(disk.Element("source")),
            BackingChain = chain,
            BackingChainKnown = known,
            HasMirror = disk.Element("mirror") is not null,
        };
    }

    /// <summary>The layers below, and whether the description says where they end: an empty backingStore does.</summary>
    private static (IReadOnlyList<ChainElement> Chain, bool Known) ParseChain(XElement disk)
    {
        var chain = new List<ChainElement>();
        var store = disk.Element("backingStore");
        while (store?.Attribute("type") is { } type)
        {
            if (chain.Count == MaxChainLength)
                throw new FormatException($"The backing chain has more than {MaxChainLength} layers.");
            chain.Add(new ChainElement(
                SourceXml.Render(type.Value, store.Element("source")),
                (string?)store.Element("format")?.Attribute("type"),
                Index(store.Element("source")) ?? Index(store)));
            store = store.Element("backingStore");
        }

        return (chain, store is not null);
    }

    /// <summary>Of the source in a disk, of the backingStore itself further down.</summary>
    private static int? Index(XElement? element) =>
        int.TryParse((string?)element?.Attribute("index"), NumberStyles.None, CultureInfo.InvariantCulture, out var index)
            ? index
            : null;

    private static string? Text(XElement? element) =>
        element?.Value.Trim() is { Length: > 0 } text ? text : null;
}

/// <summary>One disk of a description.</summary>
public sealed record DomainDisk
{
    /// <summary>The target's dev, such as vda: unique in the domain.</summary>
    public required string Target { get; init; }

    /// <summary>virtio, scsi, sata, ide, usb, fdc; null where libvirt is yet to choose.</summary>
    public string? Bus { get; init; }

    /// <summary>libvirt's alias of the device; null where the domain does not run.</summary>
    public string? Alias { get; init; }

    /// <summary>disk, cdrom, floppy or lun.</summary>
    public required string Device { get; init; }

    /// <summary>The guest may not write.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Other domains may have it at the same time.</summary>
    public bool Shareable { get; init; }

    /// <summary>The driver's type: qcow2, qed, raw; null where the description leaves it out.</summary>
    public string? Format { get; init; }

    /// <summary>What the guest reads from below is written into the overlay.</summary>
    public bool CopyOnRead { get; init; }

    /// <summary>A path, or a URI for what is no local file; null in an empty drive and for kinds unknown here.</summary>
    public string? Source { get; init; }

    /// <summary>libvirt's number of the active layer; null where the domain does not run.</summary>
    public int? SourceIndex { get; init; }

    /// <summary>The layers below the active one, nearest first.</summary>
    public required IReadOnlyList<ChainElement> BackingChain { get; init; }

    /// <summary>The description tells where the chain ends. A domain that does not run seldom does.</summary>
    public bool BackingChainKnown { get; init; }

    /// <summary>A copy or an active commit is under way.</summary>
    public bool HasMirror { get; init; }
}

/// <summary>One layer of a backing chain.</summary>
/// <param name="Source">A path, or a URI for what is no local file; null for kinds unknown here.</param>
/// <param name="Index">libvirt's number of the layer: vda[2] names it.</param>
public sealed record ChainElement(string? Source, string? Format, int? Index);
