using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Libvirt;

namespace StreamService.Benchmarks;

/// <summary>What every benchmark works with: the service, a base image, a connection to libvirt. Cleans up after itself.</summary>
internal sealed class Workbench : IAsyncDisposable
{
    private Workbench(BenchOptions options, string folder, ServiceProcess service, LibvirtConnection libvirt)
    {
        Options = options;
        Folder = folder;
        Service = service;
        Libvirt = libvirt;
        Http = new HttpClient { BaseAddress = service.Address, Timeout = TimeSpan.FromMinutes(10) };
    }

    public BenchOptions Options { get; }

    public string Folder { get; }

    public ServiceProcess Service { get; }

    public LibvirtConnection Libvirt { get; }

    /// <summary>Without the tests' check of all traffic, which would be measured too.</summary>
    public HttpClient Http { get; }

    /// <summary>Data in every sector.</summary>
    public string Base => Path.Combine(Folder, "base.raw");

    public static async Task<Workbench> StartAsync(BenchOptions options)
    {
        var folder = Path.Combine(Environment.GetEnvironmentVariable("TMPDIR") ?? "/var/tmp", $"streamservice-bench-{Environment.ProcessId}");
        // QEMU runs as another user, who must get through to the images.
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        var libvirt = await LibvirtConnection.OpenAsync("qemu:///system");
        var service = await ServiceProcess.StartAsync();
        var bench = new Workbench(options, folder, service, libvirt);
        await NumberedSectors.WriteAsync(bench.Base, options.Size, salt: 1, (0, options.Size));
        return bench;
    }

    /// <summary>Lets the service do all that it will be measured doing once, so that its code is compiled.</summary>
    public async Task WarmUpAsync()
    {
        await using var source = await BaseSource.StartAsync(this, "file");
        foreach (var format in Options.Formats)
        {
            await using var domain = await BenchDomain.StartAsync(this, format, source);
            await domain.StreamAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Service.DisposeAsync();
        await Libvirt.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}
