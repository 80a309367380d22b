using System.Xml.Linq;

namespace StreamService.Deployment;

/// <summary>
/// What a caller's template may hold. libvirt acts on a description as root: it opens any file, device or socket that is
/// named, gives it to QEMU's user and starts the program that is named. So what is not listed here is refused, down to the
/// attribute. Paths are compared as text: a caller must not be able to put links into an allowed folder.
/// </summary>
public static class DomainTemplatePolicy
{
    /// <summary>Enough to mend a template by; a hostile one could have a hundred thousand.</summary>
    private const int MaxFaults = 100;

    private const int LongestShown = 120;

    /// <summary>
    /// An element a line: its path, then its attributes, <c>*</c> for any, <c>**</c> for any and all elements below.
    /// <c>a=x|y</c> must be there with one of these values, <c>a?=x|y</c> may be missing; <c>text()</c> is the element's own text.
    /// Values in capitals: FREE is anything, WORD letters, digits and '-', READ a path below an allowed folder,
    /// WRITE such a path of a log or socket: QEMU truncates what it logs to and unlinks what it listens at, and images lie in
    /// the same folders. Anything else must be no path outside the allowed folders.
    /// Libvirt's formatdomain describes them. Left out of elements that are there, on purpose: scheduling in real time, memory
    /// of NUMA cells (libvirt takes it for the domain's), dumps of a crashed guest (they fill the host), rawio and sgio,
    /// an image's own backing store, VLANs and names of tap devices, and user-mode networks, whose guests reach the host's loopback.
    /// </summary>
    private const string Allowed =
        """
        name text()?=FREE
        uuid
        genid
        title text()?=FREE
        description text()?=FREE
        memory unit dumpCore
        currentMemory unit
        maxMemory unit slots
        vcpu placement cpuset current
        iothreads
        iothreadids **
        cputune
        cputune/shares|period|quota|global_period|global_quota|emulator_period|emulator_quota|iothread_period|iothread_quota
        cputune/vcpupin|emulatorpin|iothreadpin vcpu iothread cpuset
        numatune **
        memtune **
        blkiotune
        blkiotune/weight
        memoryBacking
        memoryBacking/hugepages
        memoryBacking/hugepages/page size unit nodeset
        memoryBacking/nosharepages|locked|discard
        memoryBacking/source type=file|anonymous|memfd
        memoryBacking/access mode
        memoryBacking/allocation mode threads
        sysinfo type=smbios|fwcfg
        sysinfo/bios|system|baseBoard|chassis|oemStrings
        sysinfo/entry name
        sysinfo/*/entry name
        os firmware
        os/type arch machine
        os/boot dev
        os/bootmenu enable timeout
        os/bios useserial rebootTimeout
        os/smbios mode
        os/cmdline text()?=FREE
        os/kernel|initrd|dtb text()=READ
        os/loader readonly=yes type secure stateless format text()?=READ
        os/nvram template?=READ format text()?=
        os/firmware
        os/firmware/feature enabled name
        os/acpi
        os/acpi/table type text()=READ
        features **
        cpu mode match check migratable
        cpu/model fallback vendor_id
        cpu/vendor
        cpu/topology|feature|cache|maxphysaddr *
        clock **
        pm **
        on_poweroff text()=destroy|restart|preserve|rename-restart
        on_reboot text()=destroy|restart|preserve|rename-restart
        on_crash text()=destroy|restart|preserve|rename-restart
        devices
        devices/*/alias name
        devices/*/address *
        devices/*/boot order
        devices/*/rom bar enabled file?=READ
        devices/disk type?=file device?=disk|cdrom|floppy model
        devices/disk/driver name?=qemu type?=raw|qcow2|qed cache io discard detect_zeroes error_policy rerror_policy iothread queues queue_size copy_on_read ioeventfd event_idx packed
        devices/disk/source file=READ
        devices/disk/target dev bus tray removable rotation_rate
        devices/disk/iotune **
        devices/disk/blockio|geometry *
        devices/disk/serial|wwn|vendor|product|readonly
        devices/controller type index model ports vectors
        devices/controller/driver|master|model *
        devices/controller/target *
        devices/controller/target/node
        devices/controller/pcihole64 unit
        devices/interface type=network|bridge
        devices/interface/source network portgroup bridge
        devices/interface/mac address
        devices/interface/model type
        devices/interface/driver name?=qemu|vhost txmode ioeventfd event_idx queues rx_queue_size tx_queue_size rss rss_hash_report packed
        devices/interface/driver/host|guest *
        devices/interface/link state
        devices/interface/mtu size
        devices/interface/port isolated
        devices/interface/bandwidth **
        devices/interface/filterref **
        devices/serial|parallel|console|channel type=pty|null|spicevmc|file|unix|qemu-vdagent
        devices/serial|parallel|console|channel/source mode append path?=WRITE
        devices/serial|parallel|console|channel/source/clipboard copypaste
        devices/serial|parallel|console|channel/source/mouse mode
        devices/serial|parallel|console|channel/target type name port
        devices/serial|parallel|console|channel/target/model name
        devices/serial|parallel|console|channel/log append file=WRITE
        devices/graphics type=vnc|spice port tlsPort autoport websocket listen passwd?=FREE passwdValidTo connected keymap?=WORD sharePolicy defaultMode
        devices/graphics/listen type=address|none|network address network
        devices/graphics/channel|image|jpeg|zlib|playback|streaming|clipboard|mouse|filetransfer|audio *
        devices/video
        devices/video/model type ram vram vram64 vgamem heads primary blob
        devices/video/model/resolution x y
        devices/input type=mouse|tablet|keyboard bus model
        devices/rng model
        devices/rng/rate bytes period
        devices/rng/backend model=random|builtin text()?=/dev/urandom|/dev/random
        devices/memballoon model autodeflate freePageReporting
        devices/memballoon/stats period
        devices/watchdog model action?=reset|shutdown|poweroff|pause|none|inject-nmi
        devices/panic model
        devices/sound model
        devices/sound/codec type
        devices/sound/audio id
        devices/audio id type=none|spice
        devices/hub type=usb
        devices/vsock model
        devices/vsock/cid auto address
        devices/iommu model
        devices/iommu/driver *
        """;

    private static readonly Dictionary<string, Row> Rows = Allowed.Split('\n').SelectMany(Parse).ToDictionary();
    private static readonly Row Root = new() { Attributes = { ["type"] = new(["FREE"], false), ["id"] = new(["FREE"], false) } };

    /// <summary>Each fault in a sentence, with the place; none where the template is harmless.</summary>
    /// <param name="domain">With its placeholders filled in.</param>
    /// <param name="allowedFolders">Absolute.</param>
    public static IEnumerable<string> Faults(XElement domain, IReadOnlyList<string> allowedFolders) =>
        new Check([.. allowedFolders.Select(folder => Path.GetFullPath(folder).TrimEnd('/') + '/')]).Faults(domain, "", Root).Take(MaxFaults);

    private static IEnumerable<KeyValuePair<string, Row>> Parse(string line)
    {
        var words = line.Split(' ');
        var row = new Row { AnyAttribute = words.Contains("*") || words.Contains("**"), AnyElement = words.Contains("**") };
        foreach (var word in words.Skip(1).Where(word => word is not ("*" or "**")))
            if (word.Split('=', 2) is [var name, var values])
                row.Attributes.Add(name.TrimEnd('?'), new(values.Split('|'), !name.EndsWith('?')));
            else
                row.Attributes.Add(word, null);
        // a/b|c/d stands for a/b/d and a/c/d.
        return words[0].Split('/')
            .Aggregate<string, IEnumerable<string>>([""], (paths, names) => paths.SelectMany(path => names.Split('|').Select(name => path + "/" + name)))
            .Select(path => KeyValuePair.Create(path, row));
    }

    private sealed class Row
    {
        public bool AnyAttribute { get; init; }
        public bool AnyElement { get; init; }
        public Dictionary<string, ValueRule?> Attributes { get; } = [];
    }

    private sealed record ValueRule(string[] Values, bool Required);

    private sealed class Check(IReadOnlyList<string> allowedFolders)
    {
        public IEnumerable<string> Faults(XElement element, string path, Row row)
        {
            foreach (var attribute in element.Attributes().Where(attribute => !attribute.IsNamespaceDeclaration))
            {
                var place = $"{Place(element)}/@{attribute.Name.LocalName}";
                ValueRule? rule = null;
                if (attribute.Name.Namespace != XNamespace.None || !(row.Attributes.TryGetValue(attribute.Name.LocalName, out rule) || row.AnyAttribute))
                    yield return $"{Short(place)} is not allowed.";
                else if (Fault(attribute.Value, rule, attribute.Name.LocalName) is { } fault)
                    yield return $"{Short(place)} {fault}";
            }
            var text = string.Concat(element.Nodes().OfType<XText>().Select(node => node.Value));
            var textRule = row.Attributes.GetValueOrDefault("text()");
            if ((text.Length > 0 || textRule is { Required: true }) && Fault(text, textRule, "") is { } textFault)
                yield return $"{Short(Place(element))} {textFault}";
            foreach (var missing in row.Attributes.Where(pair => pair.Key != "text()" && pair.Value is { Required: true } && element.Attribute(pair.Key) is null))
                yield return $"{Short($"{Place(element)}/@{missing.Key}")} is missing.";
            if (path == "/devices/disk" && element.Element("source") is not null && element.Element("readonly") is null)
                yield return $"{Short(Place(element))} has a source of its own and must be readonly.";

            foreach (var child in element.Elements())
            {
                var childPath = $"{path}/{child.Name.LocalName}";
                if (childPath == "/metadata" && child.Name.Namespace == XNamespace.None)
                    continue; // libvirt keeps it and does nothing with it.
                if (child.Name.Namespace != XNamespace.None || (row.AnyElement ? row : Find(childPath)) is not { } childRow)
                    yield return $"{Short(Place(child))} is not allowed.";
                else
                    foreach (var fault in Faults(child, childPath, childRow))
                        yield return fault;
            }
        }

        /// <summary>The path's own row, or that of any device.</summary>
        private static Row? Find(string path) =>
            Rows.GetValueOrDefault(path) ?? (path.Split('/') is ["", var top, _, .. { Length: > 0 } rest] ? Rows.GetValueOrDefault($"/{top}/*/{string.Join('/', rest)}") : null);

        private string? Fault(string value, ValueRule? rule, string name) => rule?.Values switch
        {
            ["FREE"] => null,
            ["WORD"] => value.All(c => char.IsAsciiLetterOrDigit(c) || c == '-') ? null : "must be letters, digits and '-'.",
            ["READ"] => IsAllowed(value) ? null : Outside(value),
            ["WRITE"] => !IsAllowed(value) ? Outside(value)
                : value.EndsWith(".log", StringComparison.Ordinal) || value.EndsWith(".sock", StringComparison.Ordinal) ? null
                : "must end in .log or .sock: it will be written.",
            [""] => "must be empty.",
            { } values => values.Contains(value) ? null : $"is '{Short(value)}', not {string.Join(", ", values)}.",
            null => (value.AsSpan().Trim() is ['/', ..] || name is "file" or "path" or "socket" or "dir") && !IsAllowed(value) ? Outside(value) : null,
        };

        private bool IsAllowed(string path) =>
            path.StartsWith('/') && !path.EndsWith('/') && !path.Any(char.IsControl)
            // Already in its shortest form, so that no other reading of it leads elsewhere.
            && Path.GetFullPath(path) == path
            && allowedFolders.Any(folder => path.StartsWith(folder, StringComparison.Ordinal));

        private static string Outside(string path) => $"is '{Short(path)}', which is no plain path below an allowed folder.";

        /// <summary>Such as devices/disk[2]/source; domain for the root.</summary>
        private static string Place(XElement element)
        {
            var names = element.AncestorsAndSelf().Reverse().Skip(1).Select(step =>
            {
                var name = step.GetPrefixOfNamespace(step.Name.Namespace) is { } prefix ? $"{prefix}:{step.Name.LocalName}" : step.Name.LocalName;
                var before = step.ElementsBeforeSelf(step.Name).Count();
                return before > 0 || step.ElementsAfterSelf(step.Name).Any() ? $"{name}[{before + 1}]" : name;
            });
            return string.Join('/', names) is { Length: > 0 } place ? place : "domain";
        }

        private static string Short(string text) => text.Length <= LongestShown ? text : string.Concat(text.AsSpan(0, LongestShown), "…");
    }
}
