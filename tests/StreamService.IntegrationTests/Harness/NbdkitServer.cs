using System.Diagnostics;
using System.Net.Sockets;
using StreamService.Hypervisors;

namespace StreamService.IntegrationTests.Harness;

/// <summary>A raw image served over NBD by nbdkit, which can be killed and started again on the same socket.</summary>
internal sealed class NbdkitServer(string folder, string image) : IAsyncDisposable
{
    private Process? _process;

    public string Socket { get; } = Path.Combine(folder, "base.sock");

    public string Uri => $"nbd+unix:///?socket={Socket}";

    /// <param name="options">Filters and their settings, for example <c>--filter=delay</c>, <c>rdelay=5ms</c>.</param>
    public async Task StartAsync(params string[] options)
    {
        Requires.Program("nbdkit");
        File.Delete(Socket);
        var filters = options.Where(option => option.StartsWith("--", StringComparison.Ordinal));
        var settings = options.Where(option => !option.StartsWith("--", StringComparison.Ordinal));
        var start = new ProcessStartInfo("nbdkit", ["--foreground", "--readonly", "--unix", Socket, .. filters, "file", image, .. settings]);
        _process = await LastingThread.RunAsync(() => Process.Start(start)!);
        // The file is there a moment before anybody listens.
        await Shell.WaitForAsync("nbdkit to listen", async () =>
        {
            using var client = new System.Net.Sockets.Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await client.ConnectAsync(new UnixDomainSocketEndPoint(Socket));
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        });
        // QEMU runs as another user.
        File.SetUnixFileMode(Socket, (UnixFileMode)0b110_110_110);
    }

    /// <summary>SIGSTOP: it is there and answers nothing.</summary>
    public Task FreezeAsync() => SignalAsync("STOP");

    /// <summary>SIGCONT.</summary>
    public Task ThawAsync() => SignalAsync("CONT");

    private Task<string> SignalAsync(string signal) => Shell.RunAsync("kill", $"-{signal}", _process!.Id.ToString(System.Globalization.CultureInfo.InvariantCulture));

    public async Task KillAsync()
    {
        _process!.Kill();
        await _process.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
            await KillAsync();
        _process?.Dispose();
    }
}
