using System.Collections.Concurrent;
using System.ComponentModel;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Hypervisors;

namespace StreamService.Migrations;

/// <summary>
/// The qemu-nbd processes that serve frozen images to destinations, one for each disk. They outlive the service: a guest at the
/// destination reads through them, whatever becomes of us. A service that comes back finds them by the exports' names.
/// </summary>
public sealed class SourceExports(IOptions<StreamServiceOptions> options, TimeProvider time, ILogger<SourceExports> logger)
{
    /// <summary>The program.</summary>
    public const string Program = "qemu-nbd";

    /// <summary>How long qemu-nbd may take until it listens; it opens the whole chain before.</summary>
    private static readonly TimeSpan StartDeadline = TimeSpan.FromSeconds(30);

    /// <summary>How long it may take to end when it is asked to.</summary>
    private static readonly TimeSpan StopDeadline = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly ConcurrentDictionary<string, int> _lastSeen = new();
    private readonly MigrationOptions _migration = options.Value.Migration;

    /// <summary>A port of the configured range that nobody listens on.</summary>
    /// <param name="taken">Ports that others have been promised.</param>
    /// <exception cref="HypervisorException">There is none.</exception>
    public int FindPort(string address, IReadOnlySet<int> taken)
    {
        foreach (var port in _migration.PortNumbers)
            if (!taken.Contains(port) && IsFree(address, port))
                return port;
        throw new HypervisorException("AddressInUse", $"Every port of {_migration.Ports} is in use on {address}: StreamService:Migration:Ports is too small.");
    }

    /// <summary>Whether the export runs.</summary>
    public bool IsUp(string name) => FindProcess(name) is not null;

    /// <summary>Serves an image read-only; nothing where that is done already.</summary>
    /// <param name="name">The export's, and what the process is known by.</param>
    /// <param name="image">As QEMU's programs take it.</param>
    /// <exception cref="HypervisorException">qemu-nbd refuses; its own words say why.</exception>
    public async Task StartAsync(string name, string image, string address, int port, CancellationToken cancellationToken)
    {
        if (IsUp(name))
            return;
        string[] tls = !_migration.Tls.IsConfigured ? []
            : ["--object", $"tls-creds-x509,id=tls,endpoint=server,verify-peer=on,dir={_migration.Tls.Folder.Replace(",", ",,", StringComparison.Ordinal)}", "--tls-creds", "tls"];
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = time.CreateTimer(_ => deadline.Cancel(), null, StartDeadline, Timeout.InfiniteTimeSpan);
        try
        {
            // With --fork it returns once it listens, and tells whether it does.
            var started = await ChildProcesses.RunAsync(Program,
            [
                "--fork", "--read-only", "--persistent", "--shared", "0", "--export-name", name,
                "--bind", address, "--port", port.ToString(CultureInfo.InvariantCulture), .. tls, image,
            ], deadline.Token);
            if (started.ExitCode != 0)
                throw new HypervisorException("ExportRefused", $"{Program} does not serve the image: {started.Errors.Trim()}");
        }
        catch (Win32Exception missing)
        {
            throw new HypervisorException("ProgramMissing", $"{Program} cannot be started: {missing.Message}", missing);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HypervisorException("ExportRefused", $"{Program} does not listen after {StartDeadline.TotalSeconds:0} s.");
        }
        MigrationLog.ExportStarted(logger, name, address, port);
    }

    /// <summary>Ends an export; returns when its process is gone, and with it socket and port.</summary>
    public async Task StopAsync(string name, CancellationToken cancellationToken)
    {
        if (FindProcess(name) is { } process)
        {
            Signal(process, "TERM");
            var killAt = time.GetUtcNow() + StopDeadline;
            while (FindProcess(name) is not null)
            {
                if (time.GetUtcNow() > killAt)
                    Signal(process, "KILL");
                await Task.Delay(Poll, time, cancellationToken);
            }
            MigrationLog.ExportStopped(logger, name);
        }
    }

    /// <summary>The export's process; null where it is gone.</summary>
    private int? FindProcess(string name)
    {
        if (_lastSeen.TryGetValue(name, out var known) && IsExport(known, name))
            return known;
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
            if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var process) && IsExport(process, name))
                return _lastSeen[name] = process;
        _lastSeen.TryRemove(name, out _);
        return null;
    }

    private static bool IsExport(int process, string name)
    {
        try
        {
            return File.ReadAllText($"/proc/{process}/cmdline").Split('\0') is [var program, .. var arguments]
                && Path.GetFileName(program) == Program && arguments.Contains(name);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It has ended, or is somebody else's.
            return false;
        }
    }

    private static void Signal(int process, string signal)
    {
        using var kill = System.Diagnostics.Process.Start("kill", ["-s", signal, process.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    private static bool IsFree(string address, int port)
    {
        try
        {
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            socket.Bind(new IPEndPoint(IPAddress.Parse(address), port));
            socket.Listen();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
