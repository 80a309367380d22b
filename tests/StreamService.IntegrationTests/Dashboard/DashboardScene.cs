using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Deployment;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>All tests of the dashboard's pages look at one scene with one browser.</summary>
[CollectionDefinition(Name)]
public sealed class DashboardScenes : ICollectionFixture<DashboardScene>
{
    public const string Name = "dashboard scene";
}

/// <summary>
/// A service with something of everything: real QEMUs whose streams run, rest, wait, failed and are done, a domain that was deployed, a
/// budget, a host that does not answer. Made on first use; tests that change it begin streams of their own.
/// </summary>
public sealed class DashboardScene : IAsyncDisposable
{
    private const long MiB = 1 << 20;
    private const long DiskSize = 256 * MiB;

    private readonly List<MonitoredMachine> _machines = [];
    private readonly Lazy<Task> _made;
    private NbdkitServer? _source;
    private string _folder = "";

    public DashboardScene() => _made = new Lazy<Task>(MakeAsync);

    internal DeploymentSite Site { get; private set; } = null!;

    internal Browser Browser { get; private set; } = null!;

    internal ServiceProcess Service => Site.Service;

    /// <summary>The streams' ids by the names of their domains.</summary>
    internal Dictionary<string, string> Streams { get; } = [];

    /// <summary>The domain that was deployed.</summary>
    internal Deployed Deployed { get; private set; } = null!;

    internal async Task<DashboardScene> MadeAsync()
    {
        await _made.Value;
        return this;
    }

    /// <summary>Another machine, whose disk is not streamed yet.</summary>
    internal async Task<string> AddAsync(string name, DomainKind kind = DomainKind.StorageDaemon, bool faulty = false)
    {
        var folder = Directory.CreateDirectory(Path.Combine(_folder, name)).FullName;
        var disk = Path.Combine(folder, name + ".qcow2");
        var middle = Path.Combine(_folder, "web.qcow2");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", faulty ? _source!.Uri : middle, "-F", faulty ? "raw" : "qcow2", disk,
            DiskSize.ToString(CultureInfo.InvariantCulture));
        var machine = new MonitoredMachine(kind, folder, disk, "qcow2", Guid.NewGuid(), name, reconnectDelay: null);
        lock (_machines)
            _machines.Add(machine);
        await machine.StartAsync();
        File.CreateSymbolicLink(Path.Combine(Service.MonitorFolder, name + ".sock"), machine.Socket);
        await Shell.WaitForAsync($"{name} to be known", async () =>
        {
            using var answer = await Service.Http.GetAsync($"/domains/{name}/disks/vda");
            return answer.IsSuccessStatusCode;
        });
        return $"/domains/{name}/disks/vda";
    }

    private async Task<string> StreamAsync(string name, object body, DomainKind kind = DomainKind.StorageDaemon, bool faulty = false)
    {
        var url = await AddAsync(name, kind, faulty);
        Streams[name] = (await Service.StartStreamAsync(url, body)).GetProperty("streamId").GetString()!;
        return url;
    }

    private async Task MakeAsync()
    {
        Requires.Program("nbdkit");
        Browser = await Browser.StartAsync();
        Site = await DeploymentSite.StartAsync(settings: new()
        {
            ["StreamService__Hosts__2__Name"] = "rack-9",
            ["StreamService__Hosts__2__Uri"] = "qmp+unix:///run/streamservice-test-nobody.sock",
            ["StreamService__Streaming__RetryDelay"] = "00:00:05",
            ["StreamService__Streaming__RetryDelayLimit"] = "00:00:20",
        }, template: MakeTemplateAsync);
        var deploying = DeployAsync();
        _folder = Directory.CreateTempSubdirectory("streamservice-test-scene-").FullName;
        await MakeImagesAsync();
        using (var budget = await Service.Http.PutAsJsonAsync("/budgets/uplink", new { scope = "service", bytesPerSecond = 24 * MiB }))
            Assert.True(budget.IsSuccessStatusCode);

        await Service.WaitForStateAsync(await StreamAsync("cache-1", new { mode = "full", policy = "fixed" }), "completed");
        var failing = await StreamAsync("build-7", new { mode = "full", policy = "fixed", bandwidth = 2 * MiB, onError = "report" }, faulty: true);
        var waiting = await StreamAsync("mail-1", new { mode = "full", policy = "fixed", bandwidth = 2 * MiB }, faulty: true);
        await WithProgressAsync(failing);
        await WithProgressAsync(waiting);
        await _source!.KillAsync();
        await Service.WaitForStateAsync(failing, "failed");

        var paused = await StreamAsync("db-1", new { mode = "full", policy = "fixed", bandwidth = 16 * MiB });
        await WithProgressAsync(paused);
        await Service.ChangeAsync(paused, new { state = "paused" });
        var left = await StreamAsync("log-2", new { mode = "full", policy = "fixed", bandwidth = 8 * MiB });
        await WithProgressAsync(left);
        (await Service.Http.DeleteAsync($"{left}/stream")).Dispose();
        await Service.WaitForStateAsync(left, "cancelled");

        // Well on their way, and then slow enough to be there until the last test has looked.
        foreach (var (name, bytes, priority) in new[] { ("web-1", 80 * MiB, "normal"), ("web-2", 24 * MiB, "high") })
        {
            var url = await StreamAsync(name, new { mode = "full", policy = "fixed", bandwidth = 24 * MiB, priority });
            await Service.WaitForAsync(url, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > bytes);
            await Service.ChangeAsync(url, new { bandwidth = MiB / 8 });
        }
        await deploying;
        await Service.WaitForAsync(waiting, "mail-1 to wait", status => status.GetProperty("state").GetString() == "waiting");
    }

    /// <summary>A base with holes, served from its file and by nbdkit, and a layer above it.</summary>
    private async Task MakeImagesAsync()
    {
        var image = Path.Combine(_folder, "debian-13.raw");
        await NumberedSectors.WriteAsync(image, DiskSize, salt: 1, (0, 96 * MiB), (112 * MiB, 48 * MiB), (200 * MiB, 56 * MiB));
        var middle = Path.Combine(_folder, "web.qcow2");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", middle);
        await Shell.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 7 96M 8M", middle);
        _source = new NbdkitServer(_folder, image);
        await _source.StartAsync();
    }

    /// <summary>A real guest that works on its disk all the time, so that there is a latency to see.</summary>
    private async Task DeployAsync()
    {
        const string image = "/images/central/debian-13.raw/profile";
        using (var profile = await Service.Http.PutAsJsonAsync(image, new { extents = new[] { new { offset = 0L, length = MiB }, new { offset = 4 * MiB, length = MiB } } }))
            Assert.True(profile.IsSuccessStatusCode, await profile.Content.ReadAsStringAsync());
        Deployed = await Site.DeployAsync(new { image = "central/debian-13.raw", memoryMiB = 128, stream = new { mode = "full", order = "hotFirst", bandwidth = 64 << 10 } });
        await Deployed.WaitForAsync("the boot data", status => status.GetProperty("bootReadyAt").ValueKind == JsonValueKind.String);
        await Deployed.WaitForAsync("the guest to work", status => status.GetProperty("guestLatencyMs").ValueKind == JsonValueKind.Number);
        Streams[Deployed.Name] = (await Deployed.StatusAsync()).GetProperty("streamId").GetString()!;
    }

    /// <summary>The demo guest's template, with its disk among the images.</summary>
    private static async Task<string> MakeTemplateAsync(DeploymentSite site)
    {
        var guest = await RecordingGuest.Image.Value;
        File.Copy(Path.Combine(guest, "base.raw"), Path.Combine(site.Images, "debian-13.raw"));
        var template = await Shell.RunAsync(Path.Combine(Repository.Root, "deploy", "demo-guest"), "template", guest, site.Folder);
        var file = Path.Combine(site.Folder, "template.xml");
        await File.WriteAllTextAsync(file, template.Replace("</cmdline>", " demo.pace=fast</cmdline>", StringComparison.Ordinal));
        return file;
    }

    private Task<JsonElement> WithProgressAsync(string url) =>
        Service.WaitForAsync(url, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > 4 * MiB);

    public async ValueTask DisposeAsync()
    {
        if (!_made.IsValueCreated)
            return;
        foreach (var name in Streams.Keys.Where(name => name != Deployed?.Name))
            (await Service.Http.DeleteAsync($"/domains/{name}/disks/vda/stream")).Dispose();
        foreach (var machine in _machines)
            await machine.KillAsync();
        if (_source is not null)
            await _source.DisposeAsync();
        if (Site is not null)
            await Site.DisposeAsync();
        if (Browser is not null)
            await Browser.DisposeAsync();
        if (_folder.Length > 0)
            Directory.Delete(_folder, recursive: true);
    }
}
