using System.Diagnostics;
using System.Globalization;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>A qemu-storage-daemon with one disk, vda, an overlay on an image that many share.</summary>
internal sealed class StorageDaemonProcess : IAsyncDisposable
{
    private readonly Process _process;

    private StorageDaemonProcess(string name, Process process) => (Name, _process) = (name, process);

    /// <summary>What the service calls the domain.</summary>
    public string Name { get; }

    /// <param name="folder">Of the overlay.</param>
    /// <param name="sockets">The host's folder of monitors.</param>
    public static async Task<StorageDaemonProcess> StartAsync(string folder, string sockets, string image, string name, long size)
    {
        var overlay = Path.Combine(folder, $"{name}.qcow2");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", overlay, size.ToString(CultureInfo.InvariantCulture));
        return new StorageDaemonProcess(name, Process.Start(new ProcessStartInfo("qemu-storage-daemon",
        [
            "--blockdev", $"driver=qcow2,node-name=vda,file.driver=file,file.filename={overlay}",
            "--chardev", $"socket,id=m,path={Path.Combine(sockets, name + ".sock")},server=on,wait=off", "--monitor", "chardev=m",
        ]))!);
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}
