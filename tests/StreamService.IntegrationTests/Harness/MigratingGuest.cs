using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// A domain on one of two hosts, with disks of numbered sectors in <c>/srv</c> and no operating system: what a guest would do
/// to its disks is done through the guest devices' own backends in QEMU (<see cref="GuestAsync"/>), wherever it runs by then.
/// </summary>
internal sealed class MigratingGuest : IAsyncDisposable
{
    private static int _count;

    private readonly TwoHosts _hosts;
    private readonly Dictionary<string, string> _expected = [];

    private MigratingGuest(TwoHosts hosts, string name)
    {
        _hosts = hosts;
        Name = name;
    }

    public string Name { get; }
    public Guid Id { get; private set; }

    /// <summary>The image of a disk as the host that began with it sees it: <c>/srv/NAME-vda</c>.</summary>
    public string Disk(string target = "vda") => $"/srv/{Name}-{target}";

    /// <summary>Makes images on a host, defines the domain there, starts it.</summary>
    /// <param name="host">1 or 2.</param>
    /// <param name="format">Of the disks: qcow2 or qed.</param>
    /// <param name="size">Of each disk, in bytes.</param>
    /// <param name="backing">Whether the disks are overlays on base images beside them; else they hold everything themselves.</param>
    /// <param name="secondDisk">Adds <c>vdb</c>, like vda.</param>
    /// <param name="cdrom">Adds <c>sda</c>, a raw image that the guest cannot write.</param>
    /// <param name="shareable">Adds <c>vdc</c>, a raw disk that several domains may share.</param>
    /// <param name="copyOnRead">What the guest reads of vda is populated.</param>
    /// <param name="name">Default: one of its own.</param>
    public static async Task<MigratingGuest> StartAsync(TwoHosts hosts, int host = 1, string format = "qcow2", long size = 64 << 20, bool backing = false,
        bool secondDisk = false, bool cdrom = false, bool shareable = false, bool copyOnRead = false, string? name = null)
    {
        var guest = new MigratingGuest(hosts, name ?? $"sst-{Environment.ProcessId}-m{Interlocked.Increment(ref _count)}");
        try
        {
            await guest.MakeDiskAsync(host, "vda", format, size, backing, salt: 1);
            var xml = TestDomain.Definition(guest.Name, guest.Disk(), format, copyOnRead);
            var devices = xml.Element("devices")!;
            if (secondDisk)
            {
                await guest.MakeDiskAsync(host, "vdb", format, size, backing, salt: 2);
                devices.Add(guest.DiskElement("vdb", format));
            }
            if (cdrom)
            {
                await NumberedSectors.WriteAsync(guest.FileOf(host, "sda"), 1 << 20, salt: 3, (0, 1 << 20));
                var element = guest.DiskElement("sda", "raw", new XElement("readonly"));
                element.SetAttributeValue("device", "cdrom");
                element.Element("target")!.SetAttributeValue("bus", "sata");
                devices.Add(element);
            }
            if (shareable)
            {
                await NumberedSectors.WriteAsync(guest.FileOf(host, "vdc"), 1 << 20, salt: 4, (0, 1 << 20));
                devices.Add(guest.DiskElement("vdc", "raw", new XElement("shareable")));
            }
            await guest.DefineAsync(host, xml);
            await hosts.VirshAsync(host, "start", guest.Name);
            return guest;
        }
        catch
        {
            await guest.DisposeAsync();
            throw;
        }
    }

    /// <summary>Has the guest device do I/O, in the words of qemu-io: <c>write -P 0xaa 0 64k</c>.</summary>
    public async Task GuestAsync(int host, string command, string target = "vda")
    {
        // libvirt numbers virtio disks by their targets.
        var device = $"/machine/peripheral/virtio-disk{target[^1] - 'a'}/virtio-backend";
        var answer = await _hosts.MonitorAsync(host, Name, "human-monitor-command", new Dictionary<string, object> { ["command-line"] = $"qemu-io -d {device} \"{command}\"" });
        Assert.DoesNotContain("rror", answer.GetString(), StringComparison.Ordinal);
    }

    /// <summary>Has the guest write a pattern, and expects it from then on.</summary>
    public async Task GuestWriteAsync(int host, byte pattern, long offset, long length, string target = "vda")
    {
        var command = string.Create(CultureInfo.InvariantCulture, $"write -P {pattern} {offset} {length}");
        await GuestAsync(host, command, target);
        await Shell.RunAsync("qemu-io", "-f", "raw", "-c", command, _expected[target]);
    }

    /// <summary>Ends the domain's QEMU in order: its images are closed properly.</summary>
    public Task StopAsync(int host) => _hosts.VirshAsync(host, "destroy", Name, "--graceful");

    /// <summary>Whether the disk holds what the guest must see. The domain must be off.</summary>
    /// <param name="file">The disk's image in that host, where it is not <see cref="Disk"/>.</param>
    public async Task<bool> ContentEqualsAsync(int host, string target = "vda", string? file = null)
    {
        // qemu-img compare ends with 1 where they differ.
        var answer = await _hosts.ExecAsync(host, "sh", "-c", $"qemu-img compare -F raw '{file ?? Disk(target)}' '{_expected[target]}' || test $? -eq 1");
        return answer.Contains("identical", StringComparison.Ordinal);
    }

    /// <summary>The backing image in the disk's own header; null for none. The domain must be off.</summary>
    public async Task<string?> BackingFileAsync(int host, string target = "vda")
    {
        var info = JsonDocument.Parse(await _hosts.ExecAsync(host, "qemu-img", "info", "--output=json", Disk(target))).RootElement;
        return info.TryGetProperty("full-backing-filename", out var backing) ? backing.GetString() : null;
    }

    public async ValueTask DisposeAsync()
    {
        await _hosts.RemoveAsync(Name);
        _expected.Values.ToList().ForEach(File.Delete);
    }

    private string FileOf(int host, string target) => Path.Combine(_hosts.Srv(host), Path.GetFileName(Disk(target)));

    private async Task MakeDiskAsync(int host, string target, string format, long size, bool backing, int salt)
    {
        var expected = _expected[target] = Path.Combine(_hosts.Folder, $"{Name}-{target}.expected");
        if (!backing)
        {
            // Data, a hole, data again up to the last, perhaps partial, cluster.
            await NumberedSectors.WriteAsync(expected, size, salt, (0, size / 2), (size / 4 * 3, size - size / 4 * 3));
            await Shell.RunAsync("qemu-img", "convert", "-O", format, expected, FileOf(host, target));
            return;
        }
        await NumberedSectors.WriteAsync(FileOf(host, target) + ".base", size, salt, (0, size / 2), (size / 4 * 3, size - size / 4 * 3));
        await _hosts.ExecAsync(host, "qemu-img", "create", "-q", "-f", format, "-b", Disk(target) + ".base", "-F", "raw", Disk(target));
        // The overlay has data over the base's, and over its hole.
        await _hosts.ExecAsync(host, "qemu-io", "-f", format, "-c", $"write -P 77 {size / 8} 1M", "-c", $"write -P 78 {size / 8 * 5} 1M", Disk(target));
        await _hosts.ExecAsync(host, "qemu-img", "convert", "-O", "raw", Disk(target), expected);
    }

    private XElement DiskElement(string target, string format, params XElement[] more) =>
        new("disk", new XAttribute("type", "file"), new XAttribute("device", "disk"),
            new XElement("driver", new XAttribute("name", "qemu"), new XAttribute("type", format)),
            new XElement("source", new XAttribute("file", Disk(target))),
            new XElement("target", new XAttribute("dev", target), new XAttribute("bus", "virtio")),
            more);

    private async Task DefineAsync(int host, XElement xml)
    {
        await _hosts.DefineAsync(host, Name, xml.ToString());
        Id = Guid.Parse((await _hosts.VirshAsync(host, "domuuid", Name)).Trim());
    }
}
