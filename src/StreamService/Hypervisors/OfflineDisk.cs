using System.Diagnostics;
using System.Text.Json.Nodes;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>
/// The image of a shut-off domain's disk, opened in a qemu-storage-daemon of its own. From there on it is a disk like any other.
/// </summary>
/// <remarks>
/// It is opened for writing under QEMU's image locks: a domain that is started meanwhile is refused ("Failed to get "write"
/// lock") before it touches the image, and where a QEMU has the image the daemon is refused in the same words.
/// </remarks>
internal sealed class OfflineDisk : IAsyncDisposable
{
    public const string Program = "qemu-storage-daemon";

    /// <summary>Begins the names of the sockets. Short: the path of a Unix socket has 107 bytes at the most.</summary>
    public const string SocketPrefix = "off-";

    /// <summary>How long opening the chain may take; a source that does not answer takes QEMU so long, or longer.</summary>
    private static readonly TimeSpan OpenDeadline = TimeSpan.FromSeconds(30);

    /// <summary>How long the daemon may take to close the image, which waits for requests in a source that does not answer.</summary>
    private static readonly TimeSpan CloseDeadline = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan SocketPoll = TimeSpan.FromMilliseconds(10);

    private readonly Process _process;
    private readonly Task<string> _errors;
    private readonly string _socketPath;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;

    private OfflineDisk(Process process, QmpDomain daemon, string socketPath, TimeProvider time)
    {
        _process = process;
        _socketPath = socketPath;
        _time = time;
        Daemon = daemon;
        _ = process.StandardOutput.ReadToEndAsync();
        _errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>The daemon; its only disk has the target's name.</summary>
    public QmpDomain Daemon { get; }

    public bool IsAlive => !_process.HasExited;

    /// <summary>Opens the image.</summary>
    /// <param name="domain">The domain's name, for whoever reads an error.</param>
    /// <exception cref="HypervisorException">It cannot be opened, QEMU's own words say why: a running QEMU has it, mostly.</exception>
    public static async Task<OfflineDisk> OpenAsync(string host, string domain, string target, string source, string format, string runtimeDirectory,
        TimeProvider time, ILogger logger, CancellationToken cancellationToken)
    {
        var socket = Path.Combine(runtimeDirectory, $"{SocketPrefix}{Guid.NewGuid().ToString("N")[..8]}.sock");
        var node = new JsonObject
        {
            ["driver"] = format,
            ["node-name"] = target,
            ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = source, ["locking"] = "on" },
        };
        var process = await ChildProcesses.StartAsync(Program,
        [
            "--blockdev", node.ToJsonString(),
            // A comma in a value is written twice.
            "--chardev", $"socket,id=m,path={socket.Replace(",", ",,", StringComparison.Ordinal)},server=on,wait=off", "--monitor", "chardev=m",
        ]);
        var disk = new OfflineDisk(process, new QmpDomain(host, socket, runtimeDirectory, time, logger, _ => { }, domain), socket, time);
        try
        {
            await disk.ConnectAsync(domain, target, cancellationToken);
            return disk;
        }
        catch
        {
            await disk.DisposeAsync();
            throw;
        }
    }

    private async Task ConnectAsync(string domain, string target, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timeout = _time.CreateTimer(_ => deadline.Cancel(), null, OpenDeadline, Timeout.InfiniteTimeSpan);
        try
        {
            // The monitor is made after the image was opened.
            while (!File.Exists(_socketPath))
            {
                if (_process.HasExited)
                    throw new HypervisorException("ImageNotOpened",
                        $"Disk '{target}' of domain '{domain}', which is shut off, cannot be opened: {string.Join(" ", (await _errors).Split('\n', StringSplitOptions.RemoveEmptyEntries))}");
                await Task.Delay(SocketPoll, _time, deadline.Token);
            }
            _running = Daemon.RunAsync(_stop.Token);
            while (Daemon.State != MonitorState.Connected)
            {
                if (_process.HasExited)
                    throw new HypervisorException("ImageNotOpened", $"The {Program} of disk '{target}' of domain '{domain}' has ended: {await _errors}");
                await Task.Delay(SocketPoll, _time, deadline.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HypervisorException("ImageNotOpened", $"Disk '{target}' of domain '{domain}', which is shut off, could not be opened in {OpenDeadline.TotalSeconds:0} s.");
        }
    }

    /// <summary>Closes the image in order and ends the daemon; returns when the image is free.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        Daemon.Dispose();
        using var deadline = new CancellationTokenSource(CloseDeadline, _time);
        try
        {
            if (File.Exists(_socketPath) && IsAlive)
            {
                await using var monitor = await QmpClient.ConnectAsync(_socketPath, new QmpClientOptions { Time = _time }, deadline.Token);
                await monitor.ExecuteAsync("quit", null, null, deadline.Token);
                await _process.WaitForExitAsync(deadline.Token);
            }
        }
        catch (Exception exception) when (exception is QmpException or OperationCanceledException)
        {
            // Then it is ended by force, below. All that was called durable is.
        }
        if (IsAlive)
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None);
        }
        _process.Dispose();
        _stop.Dispose();
        File.Delete(_socketPath);
        File.Delete(_socketPath + ".nbd");
    }
}
