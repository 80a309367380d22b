using System.Diagnostics;
using System.Globalization;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>Many qemu-storage-daemons, the cheapest machines that there are, each with one overlay on the same base; and a service that knows them.</summary>
internal sealed class StorageDaemons : IAsyncDisposable
{
    private readonly string _folder = Path.Combine(Environment.GetEnvironmentVariable("TMPDIR") ?? "/var/tmp", $"ssd-{Environment.ProcessId}");
    private readonly List<Process> _daemons = [];

    private StorageDaemons()
    {
    }

    /// <summary>Where their images are, until they end.</summary>
    public string Folder => _folder;

    /// <summary>What the service calls them.</summary>
    public IReadOnlyList<string> Names => [.. Enumerable.Range(0, _daemons.Count).Select(Name)];

    /// <param name="size">Of each disk, in bytes.</param>
    /// <param name="clusterSize">Of the overlays, in bytes.</param>
    public static async Task<StorageDaemons> StartAsync(int count, long size, int clusterSize = 64 << 10)
    {
        var daemons = new StorageDaemons();
        try
        {
            Directory.CreateDirectory(daemons._folder);
            var image = Path.Combine(daemons._folder, "base.raw");
            await NumberedSectors.WriteAsync(image, size, salt: 1, (0, size));
            for (var i = 0; i < count; i++)
                daemons._daemons.Add(await daemons.StartAsync(image, i, size, clusterSize));
            return daemons;
        }
        catch
        {
            await daemons.DisposeAsync();
            throw;
        }
    }

    /// <summary>A service with no other host; its log is JSON, an object a line.</summary>
    /// <param name="database">With records in it already; null for one of its own.</param>
    public Task<ServiceProcess> StartServiceAsync(string? database = null)
    {
        var settings = new Dictionary<string, string>
        {
            ["StreamService__LogFormat"] = "Json",
            ["StreamService__Hosts__0__Name"] = "daemons",
            ["StreamService__Hosts__0__Uri"] = $"qmp+unix://{_folder}/*.sock",
            ["StreamService__Hosts__1__Name"] = "none",
            ["StreamService__Hosts__1__Uri"] = "qmp+unix:///nonexistent/*.sock",
        };
        if (database is not null)
            settings["StreamService__Storage__ConnectionString"] = $"Data Source={database}";
        return ServiceProcess.StartAsync(settings);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var daemon in _daemons)
        {
            daemon.Kill();
            await daemon.WaitForExitAsync();
            daemon.Dispose();
        }
        Directory.Delete(_folder, recursive: true);
    }

    private async Task<Process> StartAsync(string image, int number, long size, int clusterSize)
    {
        var overlay = Path.Combine(_folder, $"{Name(number)}.qcow2");
        var socket = Path.Combine(_folder, $"{Name(number)}.sock");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-o", string.Create(CultureInfo.InvariantCulture, $"cluster_size={clusterSize}"), "-b", image, "-F", "raw", overlay, size.ToString(CultureInfo.InvariantCulture));
        return Process.Start(new ProcessStartInfo("qemu-storage-daemon",
        [
            "--blockdev", $"driver=qcow2,node-name=vda,file.driver=file,file.filename={overlay}",
            "--chardev", $"socket,id=m,path={socket},server=on,wait=off", "--monitor", "chardev=m",
        ]))!;
    }

    private static string Name(int number) => string.Create(CultureInfo.InvariantCulture, $"d{number}");
}
