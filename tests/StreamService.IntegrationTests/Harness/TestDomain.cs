using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// A real domain with one disk on a chain of its own images, in a folder of its own. It has no operating system: what a
/// guest would do to its disk is done through the guest device's own backend in QEMU (<see cref="GuestAsync"/>).
/// </summary>
internal sealed class TestDomain : IAsyncDisposable
{
    private static int _count;

    private readonly List<string> _links = [];
    private MonitoredMachine? _machine;
    private string? _room;

    private TestDomain(DomainKind kind, string folder, string name)
    {
        Kind = kind;
        Folder = folder;
        Name = name;
    }

    public DomainKind Kind { get; }

    public string Folder { get; }
    public string Name { get; }
    public Guid Id { get; private set; }

    /// <summary>What the API calls it: its UUID, where it has one of its own.</summary>
    public string Key => Kind == DomainKind.StorageDaemon ? Name : Id.ToString();

    /// <summary>The overlay.</summary>
    public string Disk => Path.Combine(_room ?? Folder, "overlay");

    /// <summary>The file system that is the overlay's own, where it has one.</summary>
    public string Room => _room ?? throw new InvalidOperationException("The overlay has no file system of its own.");

    /// <summary>The overlay behind <c>vdb</c>, where there is one.</summary>
    public string ReadOnlyDisk => Path.Combine(Folder, "readonly");

    /// <summary>A flat copy of what the guest must see.</summary>
    public string Expected => Path.Combine(Folder, "expected.raw");

    /// <summary>The images below the overlay, nearest first.</summary>
    public IReadOnlyList<string> Chain { get; private set; } = [];

    private string BaseHash { get; set; } = "";

    /// <summary>Makes images, defines the domain, starts it.</summary>
    /// <param name="format">Of the overlay: qcow2 or qed.</param>
    /// <param name="size">Of the disk, in bytes.</param>
    /// <param name="middle">Whether an image lies between the overlay and the base, with data of its own.</param>
    /// <param name="copyOnRead">Whether guest reads populate the overlay, which puts a filter above it.</param>
    /// <param name="reconnectDelay">Seconds that QEMU waits for a lost NBD source before a request fails.</param>
    /// <param name="readOnlyDisk">Whether the domain has a second disk, <c>vdb</c>, an overlay on the same base that the guest cannot write.</param>
    /// <param name="baseUri">Serve the base through this URI instead of from its file; "{0}" is the file.</param>
    /// <param name="kind">Who runs it.</param>
    /// <param name="room">Puts the overlay on a file system of its own, of so many bytes.</param>
    /// <param name="spellOut">Whether the definition spells the chain out, which must be the base alone.</param>
    public static async Task<TestDomain> StartAsync(string format = "qcow2", long size = 64L << 20, bool middle = true, Func<string, Task<string>>? baseUri = null, bool copyOnRead = false, int? reconnectDelay = null, bool readOnlyDisk = false, DomainKind kind = DomainKind.Libvirt, bool spellOut = false, long? room = null)
    {
        if (kind == DomainKind.Libvirt)
            Requires.Libvirt();
        Requires.Program("qemu-img");
        var folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        // QEMU runs as another user, who must get through to the images.
        File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        var domain = new TestDomain(kind, folder, $"sst-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}");
        try
        {
            if (room is { } bytes)
                await domain.MakeRoomAsync(bytes);
            await domain.MakeImagesAsync(format, size, middle, baseUri);
            if (readOnlyDisk)
                await OverlayAsync("qcow2", domain.ReadOnlyDisk, domain.Chain[^1], "raw", size);
            if (kind == DomainKind.Libvirt)
                await domain.DefineAsync(format, copyOnRead, reconnectDelay, readOnlyDisk, spellOut);
            else
                domain._machine = new MonitoredMachine(kind, folder, domain.Disk, format, domain.Id = Guid.NewGuid(), domain.Name, reconnectDelay);
            await domain.StartAsync();
            return domain;
        }
        catch
        {
            await domain.DisposeAsync();
            throw;
        }
    }

    /// <summary>A small domain with one virtio disk, vda.</summary>
    /// <param name="disk">File name of the overlay.</param>
    /// <param name="backing">The element that spells the chain out; null to have libvirt read it from the images.</param>
    public static XElement Definition(string name, string disk, string format, bool copyOnRead = false, XElement? backing = null, XElement? second = null)
    {
        var driver = new XElement("driver", new XAttribute("name", "qemu"), new XAttribute("type", format));
        if (copyOnRead)
            driver.SetAttributeValue("copy_on_read", "on");
        return new XElement("domain", new XAttribute("type", "qemu"),
            new XElement("name", name),
            new XElement("memory", new XAttribute("unit", "MiB"), 32),
            new XElement("vcpu", 1),
            new XElement("os", new XElement("type", new XAttribute("arch", "x86_64"), new XAttribute("machine", "pc"), "hvm")),
            // Without it no device can be plugged in.
            new XElement("features", new XElement("acpi")),
            new XElement("devices",
                new XElement("disk", new XAttribute("type", "file"), new XAttribute("device", "disk"),
                    driver,
                    new XElement("source", new XAttribute("file", disk)),
                    backing,
                    new XElement("target", new XAttribute("dev", "vda"), new XAttribute("bus", "virtio"))),
                second,
                new XElement("controller", new XAttribute("type", "usb"), new XAttribute("model", "none")),
                new XElement("memballoon", new XAttribute("model", "none"))));
    }

    /// <summary>Gives the overlay's own file system so many bytes.</summary>
    public Task ResizeRoomAsync(long bytes) => Shell.RunAsync("mount", "-o", $"remount,size={bytes}", Room);

    private async Task MakeRoomAsync(long bytes)
    {
        Requires.Root();
        var room = Path.Combine(Folder, "room");
        Directory.CreateDirectory(room);
        await Shell.RunAsync("mount", "-t", "tmpfs", "-o", $"size={bytes},mode=755", "tmpfs", room);
        _room = room;
    }

    public Task StartAsync() => _machine?.StartAsync() ?? VirshAsync("start", Name);

    /// <summary>Ends the QEMU process in order: its images are closed properly.</summary>
    public Task StopAsync() => _machine?.StopAsync() ?? VirshAsync("destroy", Name, "--graceful");

    /// <summary>Puts its monitor into a folder that a service watches; nothing for a domain of libvirt's.</summary>
    /// <returns>Whether it was not there yet.</returns>
    public bool LinkInto(string folder)
    {
        var link = Path.Combine(folder, Name + ".sock");
        if (_machine is null || _links.Contains(link))
            return false;
        File.CreateSymbolicLink(link, _machine.Socket);
        _links.Add(link);
        return true;
    }

    public static Task<string> VirshAsync(params string[] arguments) => Shell.RunAsync("virsh", ["-c", "qemu:///system", .. arguments]);

    /// <summary>The process id of the domain's QEMU.</summary>
    public async Task<int> QemuPidAsync() =>
        _machine?.ProcessId ?? int.Parse((await File.ReadAllTextAsync($"/run/libvirt/qemu/{Name}.pid")).Trim(), CultureInfo.InvariantCulture);

    /// <summary>SIGKILL to the domain's QEMU: what no flush has saved is lost.</summary>
    public async Task KillQemuAsync()
    {
        if (_machine is not null)
        {
            await _machine.KillAsync();
            return;
        }
        using (var process = System.Diagnostics.Process.GetProcessById(await QemuPidAsync()))
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
        await Shell.WaitForAsync("libvirt to see QEMU's end", async () => (await VirshAsync("domstate", Name)).Trim() is "shut off" or "crashed");
    }

    public async Task<JsonElement> MonitorAsync(string command, object? arguments = null)
    {
        if (_machine is not null)
            return await _machine.MonitorAsync(command, arguments);
        var json = JsonSerializer.Serialize(new { execute = command, arguments = arguments ?? new { } });
        return JsonDocument.Parse(await VirshAsync("qemu-monitor-command", Name, json)).RootElement.GetProperty("return");
    }

    /// <summary>Has the guest device do I/O, in the words of qemu-io: <c>write -P 0xaa 0 64k</c>.</summary>
    public async Task GuestAsync(string command)
    {
        if (_machine is not null)
        {
            await _machine.GuestAsync(command, _links);
            return;
        }
        var answer = await MonitorAsync("human-monitor-command", new Dictionary<string, object>
        {
            ["command-line"] = $"qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend \"{command}\"",
        });
        Assert.DoesNotContain("rror", answer.GetString(), StringComparison.Ordinal);
    }

    /// <summary>Has the guest write a pattern, and expects it from then on.</summary>
    public async Task GuestWriteAsync(byte pattern, long offset, long length)
    {
        await GuestAsync(string.Create(CultureInfo.InvariantCulture, $"write -P {pattern} {offset} {length}"));
        await Shell.RunAsync("qemu-io", "-f", "raw", "-c", string.Create(CultureInfo.InvariantCulture, $"write -P {pattern} {offset} {length}"), Expected);
    }

    /// <summary>The backing image in the overlay's own header; null for none. Only for a domain that is off.</summary>
    public async Task<string?> BackingFileAsync()
    {
        var info = JsonDocument.Parse(await Shell.RunAsync("qemu-img", "info", "--output=json", Disk)).RootElement;
        return info.TryGetProperty("full-backing-filename", out var backing) ? backing.GetString() : null;
    }

    /// <summary>Bytes that the overlay itself holds. Only for a domain that is off.</summary>
    public async Task<long> OverlayBytesAsync()
    {
        var map = JsonDocument.Parse(await Shell.RunAsync("qemu-img", "map", "--output=json", Disk)).RootElement;
        return map.EnumerateArray().Where(extent => extent.GetProperty("depth").GetInt32() == 0 && extent.GetProperty("present").GetBoolean())
            .Sum(extent => extent.GetProperty("length").GetInt64());
    }

    /// <summary>Compares every byte that the guest sees with what it must see, and the base with what it was. The domain must be off.</summary>
    /// <param name="crashed">QEMU was killed: clusters that nothing refers to are then no fault, a wrong reference still is.</param>
    public async Task AssertIntactAsync(bool crashed = false)
    {
        Assert.Contains("identical", await Shell.RunAsync("qemu-img", "compare", "-F", "raw", Disk, Expected), StringComparison.Ordinal);
        const int onlyLeaks = 3;
        await Shell.RunAsync("sh", "-c", $"qemu-img check '{Disk}' || test $? -eq {(crashed ? onlyLeaks : 0)}");
        Assert.Equal(BaseHash, await HashAsync(Path.Combine(Folder, "base.raw")));
    }

    public async ValueTask DisposeAsync()
    {
        // With the folder of a service that has ended they are gone already.
        _links.Where(File.Exists).ToList().ForEach(File.Delete);
        if (_machine is not null)
        {
            await _machine.KillAsync();
        }
        else
        {
            await TryAsync(() => VirshAsync("destroy", Name));
            await TryAsync(() => VirshAsync("undefine", Name));
        }
        if (_room is not null)
            await Shell.RunAsync("umount", "--lazy", _room);
        Directory.Delete(Folder, recursive: true);
    }

    private static async Task TryAsync(Func<Task> action)
    {
        try
        {
            await action();
        }
        catch (InvalidOperationException)
        {
            // Gone already.
        }
    }

    private async Task MakeImagesAsync(string format, long size, bool middle, Func<string, Task<string>>? baseUri)
    {
        var baseImage = Path.Combine(Folder, "base.raw");
        // Data, a hole, data again up to the last, perhaps partial, cluster.
        await NumberedSectors.WriteAsync(baseImage, size, salt: 1, (0, size / 2), (size / 4 * 3, size - size / 4 * 3));
        BaseHash = await HashAsync(baseImage);
        var top = baseUri is null ? baseImage : await baseUri(baseImage);
        var topFormat = "raw";
        var chain = new List<string> { top };
        if (middle)
        {
            var middleImage = Path.Combine(Folder, "middle.qcow2");
            await OverlayAsync("qcow2", middleImage, top, topFormat, size);
            // The middle image has data over the base's, and over its hole.
            await Shell.RunAsync("qemu-io", "-f", "qcow2", "-c", $"write -P 77 {size / 8} 1M", "-c", $"write -P 78 {size / 8 * 5} 1M", middleImage);
            (top, topFormat) = (middleImage, "qcow2");
            chain.Insert(0, middleImage);
        }
        await OverlayAsync(format, Disk, top, topFormat, size);
        Chain = chain;
        await Shell.RunAsync("qemu-img", "convert", "-O", "raw", Disk, Expected);
    }

    private static Task<string> OverlayAsync(string format, string overlay, string backing, string backingFormat, long size) =>
        Shell.RunAsync("qemu-img", "create", "-q", "-f", format, "-b", backing, "-F", backingFormat, overlay, size.ToString(CultureInfo.InvariantCulture));

    private async Task DefineAsync(string format, bool copyOnRead, int? reconnectDelay, bool readOnlyDisk, bool spellOut)
    {
        // The chain is spelt out where libvirt could not read all of it from the images themselves, and where a test is about that.
        var backing = spellOut ? new XElement("backingStore", new XAttribute("type", "file"),
            new XElement("format", new XAttribute("type", "raw")),
            new XElement("source", new XAttribute("file", Path.Combine(Folder, "base.raw"))),
            new XElement("backingStore"))
        : reconnectDelay is not { } delay ? null : new XElement("backingStore", new XAttribute("type", "network"),
            new XElement("format", new XAttribute("type", "raw")),
            new XElement("source", new XAttribute("protocol", "nbd"),
                new XElement("host", new XAttribute("transport", "unix"), new XAttribute("socket", Path.Combine(Folder, "base.sock"))),
                new XElement("reconnect", new XAttribute("delay", delay))),
            new XElement("backingStore"));
        var second = !readOnlyDisk ? null : new XElement("disk", new XAttribute("type", "file"), new XAttribute("device", "disk"),
            new XElement("driver", new XAttribute("name", "qemu"), new XAttribute("type", "qcow2")),
            new XElement("source", new XAttribute("file", ReadOnlyDisk)),
            new XElement("target", new XAttribute("dev", "vdb"), new XAttribute("bus", "virtio")),
            new XElement("readonly"));
        var xml = Definition(Name, Disk, format, copyOnRead, backing, second);
        var file = Path.Combine(Folder, "domain.xml");
        await File.WriteAllTextAsync(file, xml.ToString());
        await VirshAsync("define", file);
        Id = Guid.Parse((await VirshAsync("domuuid", Name)).Trim());
    }

    private static async Task<string> HashAsync(string path) => (await Shell.RunAsync("sha256sum", path)).Split(' ')[0];
}
