using System.Globalization;
using System.Xml.Linq;

namespace StreamService.Migrations;

/// <summary>Makes the description that the destination gets out of the source's: the same domain, the moved disks on their new files.</summary>
public static class DestinationXml
{
    /// <param name="xml">libvirt's, fit for migration.</param>
    /// <param name="tls">Whether the exports speak TLS.</param>
    /// <param name="live">
    /// It is what runs, in place of what the next start would use. Where nothing else was chosen an error of a moved disk then stops
    /// the guest, which can go on later as if nothing had been: as long as the disk depends on another host, an error says little of it.
    /// </param>
    /// <exception cref="FormatException">A moved disk is not in it.</exception>
    public static string Build(string xml, MigrationStatus migration, bool tls, bool live)
    {
        var root = XElement.Parse(xml);
        foreach (var moved in migration.Disks)
        {
            var disk = root.Elements("devices").Elements("disk").FirstOrDefault(element => (string?)element.Element("target")?.Attribute("dev") == moved.Target)
                ?? throw new FormatException($"The description of domain '{migration.DomainName}' has no disk '{moved.Target}'.");
            var driver = disk.Element("driver");
            if (driver is null)
                disk.AddFirst(driver = new XElement("driver", new XAttribute("name", "qemu")));
            driver.SetAttributeValue("type", migration.Spec.Format);
            if (live)
                foreach (var policy in new[] { "error_policy", "rerror_policy" })
                    if (driver.Attribute(policy) is null)
                        driver.SetAttributeValue(policy, "stop");
            disk.Elements("mirror").Remove();
            disk.Elements("backingStore").Remove();
            var source = disk.Element("source") ?? throw new FormatException($"Disk '{moved.Target}' has no source.");
            source.ReplaceWith(
                new XElement("source", new XAttribute("file", moved.Destination)),
                new XElement("backingStore", new XAttribute("type", "network"),
                    new XElement("format", new XAttribute("type", "raw")),
                    Export(migration, moved, tls),
                    new XElement("backingStore")));
        }
        return root.ToString(SaveOptions.DisableFormatting);
    }

    /// <summary>A domain that never runs, and whose only disk is an export: whether it can be made tells whether the export can be reached.</summary>
    /// <param name="xml">The domain that is to move: the probe has its kind, machine type and emulator.</param>
    /// <param name="name">The probe's.</param>
    public static string BuildProbe(string xml, string name, string address, int port, string export, bool tls)
    {
        var root = XElement.Parse(xml);
        return new XElement("domain",
            root.Attribute("type"),
            new XElement("name", name),
            new XElement("memory", new XAttribute("unit", "MiB"), 16),
            new XElement("vcpu", 1),
            new XElement("os", root.Element("os")?.Element("type")),
            new XElement("devices",
                root.Element("devices")?.Element("emulator"),
                new XElement("disk", new XAttribute("type", "network"), new XAttribute("device", "disk"),
                    new XElement("driver", new XAttribute("name", "qemu"), new XAttribute("type", "raw")),
                    Source(address, port, export, tls),
                    new XElement("target", new XAttribute("dev", "vda"), new XAttribute("bus", "virtio")),
                    new XElement("readonly")),
                new XElement("controller", new XAttribute("type", "usb"), new XAttribute("model", "none")),
                new XElement("memballoon", new XAttribute("model", "none")))).ToString(SaveOptions.DisableFormatting);
    }

    private static XElement Export(MigrationStatus migration, MigrationDisk disk, bool tls) =>
        Source(migration.Address, disk.Port, migration.ExportName(disk), tls);

    private static XElement Source(string address, int port, string export, bool tls) =>
        new("source",
            new XAttribute("protocol", "nbd"),
            new XAttribute("name", export),
            tls ? new XAttribute("tls", "yes") : null,
            new XElement("host", new XAttribute("name", address), new XAttribute("port", port.ToString(CultureInfo.InvariantCulture))));
}
