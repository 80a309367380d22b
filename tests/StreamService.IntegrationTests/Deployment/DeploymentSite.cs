using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>A service with one repository, "central", of images of its own, and a folder for overlays. Removes every domain that it deployed.</summary>
internal sealed class DeploymentSite : IAsyncDisposable
{
    public const int Size = 16 << 20;

    /// <summary>Settings with which a guest is watched for so long that a test on a busy machine gets its reads in.</summary>
    public static Dictionary<string, string> Learning => new()
    {
        ["StreamService__Deployment__Learn"] = "true",
        ["StreamService__Deployment__LearnFor"] = "00:00:06",
        ["StreamService__Deployment__LearnDeployments"] = "1",
    };

    private static int _count;

    private readonly List<string> _names = [];
    private bool _mounted;

    private DeploymentSite(string folder) => Folder = folder;

    public string Folder { get; }

    public string Images => Path.Combine(Folder, "images");

    public string Overlays => Path.Combine(Folder, "overlays");

    /// <summary>Raw: data, a hole, data.</summary>
    public string Base => Path.Combine(Images, "base.raw");

    public ServiceProcess Service { get; private set; } = null!;

    public HttpClient Http => Service.Http;

    /// <param name="uri">Of the repository; null: the folder of images.</param>
    /// <param name="settings">Of the service, beside the repository and the folder of overlays.</param>
    /// <param name="template">Makes the operator's template; null: the service's own.</param>
    /// <param name="overlaySpace">Options of a file system of its own for the overlays, as mount takes them; null: none.</param>
    public static async Task<DeploymentSite> StartAsync(Func<DeploymentSite, Task<string>>? uri = null, Dictionary<string, string>? settings = null, string? overlaySpace = null, Func<DeploymentSite, Task<string>>? template = null)
    {
        Requires.Libvirt();
        if (overlaySpace is not null)
            Requires.Root();
        var site = new DeploymentSite(Directory.CreateTempSubdirectory("streamservice-test-").FullName);
        try
        {
            foreach (var folder in new[] { site.Folder, site.Images, site.Overlays })
            {
                Directory.CreateDirectory(folder);
                // QEMU runs as another user, who must get through to the images.
                File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
            }
            if (overlaySpace is not null)
            {
                await Shell.RunAsync("mount", "-t", "tmpfs", "-o", $"mode=0755,{overlaySpace}", "tmpfs", site.Overlays);
                site._mounted = true;
            }
            await NumberedSectors.WriteAsync(site.Base, Size, salt: 1, (0, Size / 2), (Size / 4 * 3, Size / 4));
            var all = new Dictionary<string, string>
            {
                ["StreamService__ImageRepositories__0__Name"] = "central",
                ["StreamService__ImageRepositories__0__Uri"] = uri is null ? site.Images : await uri(site),
                ["StreamService__Deployment__OverlayFolder"] = site.Overlays,
                ["StreamService__Deployment__Learn"] = "false",
            };
            if (template is not null)
                all["StreamService__Deployment__DomainXmlFile"] = await template(site);
            foreach (var (name, value) in settings ?? [])
                all[name] = value;
            site.Service = await ServiceProcess.StartAsync(all);
            return site;
        }
        catch
        {
            await site.DisposeAsync();
            throw;
        }
    }

    /// <summary>A name that no other test uses.</summary>
    public string NewName()
    {
        // Beside those of TestDomain, and by the same rule.
        var name = string.Create(CultureInfo.InvariantCulture, $"sst-{Environment.ProcessId}-{1_000_000 + Interlocked.Increment(ref _count)}");
        lock (_names)
            _names.Add(name);
        return name;
    }

    /// <summary>A request that is valid; <paramref name="more"/> adds to it, or replaces.</summary>
    public static Dictionary<string, object?> Request(string name, object? more = null)
    {
        var request = new Dictionary<string, object?>
        {
            ["name"] = name,
            ["host"] = "local",
            ["image"] = "central/base.raw",
            ["format"] = "qcow2",
            ["memoryMiB"] = 32,
            ["vcpus"] = 1,
        };
        foreach (var member in JsonSerializer.SerializeToElement(more ?? new { }).EnumerateObject())
            request[member.Name] = member.Value;
        return request;
    }

    public Task<HttpResponseMessage> PostAsync(string name, object? more = null) => Http.PostAsJsonAsync("/domains", Request(name, more));

    /// <summary>Deploys a domain and expects it to run.</summary>
    public async Task<Deployed> DeployAsync(object? more = null)
    {
        var name = NewName();
        using var answer = await PostAsync(name, more);
        Assert.True(answer.StatusCode == HttpStatusCode.Created, await answer.Content.ReadAsStringAsync() + Service.LogText);
        var domain = await answer.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal($"/domains/{domain.GetProperty("id").GetString()}", answer.Headers.Location!.ToString());
        return new Deployed(this, name, domain);
    }

    /// <summary>Whether libvirt has such a domain.</summary>
    public static async Task<bool> ExistsAsync(string name) =>
        (await TestDomain.VirshAsync("list", "--all", "--name")).Split('\n', StringSplitOptions.TrimEntries).Contains(name);

    /// <summary>Expects that nothing of a deployment is there: no domain, no overlay.</summary>
    public async Task AssertNothingLeftAsync(string name)
    {
        Assert.False(await ExistsAsync(name), $"Domain {name} is there.");
        Assert.DoesNotContain(Directory.GetFiles(Overlays), file => Path.GetFileName(file).StartsWith(name + "-", StringComparison.Ordinal));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var name in _names)
            if (await ExistsAsync(name))
                await Shell.RunAsync("sh", "-c", $"virsh -qc qemu:///system destroy '{name}' 2>/dev/null; virsh -qc qemu:///system undefine '{name}'");
        if (Service is not null)
            await Service.DisposeAsync();
        if (_mounted)
            await Shell.RunAsync("umount", Overlays);
        Directory.Delete(Folder, recursive: true);
    }
}

/// <summary>A domain that was deployed.</summary>
internal sealed class Deployed(DeploymentSite site, string name, JsonElement domain)
{
    public string Name => name;

    public Guid Id => domain.GetProperty("id").GetGuid();

    public JsonElement Domain => domain;

    public JsonElement Disk => domain.GetProperty("disks").EnumerateArray().Single(disk => disk.GetProperty("target").GetString() == "vda");

    public string Overlay => Disk.GetProperty("source").GetString()!;

    public string DiskUrl => $"/domains/{Id}/disks/vda";

    public Task<JsonElement> StatusAsync() => site.Http.GetFromJsonAsync<JsonElement>($"{DiskUrl}/status");

    /// <summary>Long-polls until the status is as wished.</summary>
    public async Task<JsonElement> WaitForAsync(string what, Func<JsonElement, bool> wished)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        var status = await StatusAsync();
        while (!wished(status))
        {
            try
            {
                status = await site.Http.GetFromJsonAsync<JsonElement>(
                    $"{DiskUrl}/status?waitForGeneration={status.GetProperty("generation").GetInt64() + 1}&timeoutSeconds=10", deadline.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Waited too long for {what}; last status: {status}\n{site.Service.LogText}");
            }
        }
        return status;
    }

    public Task<JsonElement> WaitForStateAsync(string state) => WaitForAsync($"state {state}", status =>
    {
        var now = status.GetProperty("state").GetString();
        Assert.True(now == state || now is not ("completed" or "failed" or "cancelled"), $"Waited for {state}, got {status}\n{site.Service.LogText}");
        return now == state;
    });

    /// <summary>I/O of the guest device, in the words of qemu-io.</summary>
    public async Task GuestAsync(string command)
    {
        var json = JsonSerializer.Serialize(new
        {
            execute = "human-monitor-command",
            arguments = new Dictionary<string, string> { ["command-line"] = $"qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend \"{command}\"" },
        });
        Assert.DoesNotContain("rror", await TestDomain.VirshAsync("qemu-monitor-command", name, json), StringComparison.Ordinal);
    }

    public Task StopAsync() => TestDomain.VirshAsync("destroy", name, "--graceful");

    /// <summary>The backing image in the overlay's own header; null for none. Only for a domain that is off.</summary>
    public async Task<string?> BackingFileAsync()
    {
        var info = JsonDocument.Parse(await Shell.RunAsync("qemu-img", "info", "--output=json", Overlay)).RootElement;
        return info.TryGetProperty("backing-filename", out var backing) ? backing.GetString() : null;
    }

    /// <summary>Compares what the guest sees with a raw image. Only for a domain that is off.</summary>
    public async Task AssertEqualsAsync(string image) =>
        Assert.Contains("identical", await Shell.RunAsync("qemu-img", "compare", Overlay, image), StringComparison.Ordinal);

    public Task<HttpResponseMessage> DeleteAsync(bool storage = true) => site.Http.DeleteAsync($"/domains/{Id}?storage={(storage ? "true" : "false")}");
}
