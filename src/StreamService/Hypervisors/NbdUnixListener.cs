using System.Net;
using System.Net.Sockets;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>
/// A Unix socket of this machine, bound here, in a folder that only this service can enter, and handed to QEMU as a file
/// descriptor: QEMU needs no permission on any path, and nobody else can connect.
/// </summary>
/// <param name="ownSocket">Where the socket is bound here and handed over as a file.</param>
/// <param name="daemonSocket">
/// Where a qemu-storage-daemon, which takes no files, binds the socket itself: in the folder in which it made its monitor,
/// so that it can, and whoever can reach the monitor can reach it. Null where files always work.
/// </param>
/// <param name="shared">Whether other replicas may have driven the host before, whose sockets are not here.</param>
internal sealed class NbdUnixListener(string ownSocket, string? daemonSocket, bool shared = false) : NbdListener
{
    private readonly string _ownSocket = ownSocket;
    private string _socketPath = ownSocket;

    /// <inheritdoc/>
    public override EndPoint EndPoint => new UnixDomainSocketEndPoint(_socketPath);

    /// <summary>
    /// Whether a server answers at our path; where other replicas had the host, whether none is due that somebody else has started, as with
    /// <see cref="NbdTcpListener"/>.
    /// </summary>
    public override async Task<bool> IsLeftOverAsync(IQmpMonitor monitor, QemuCapabilities capabilities, CancellationToken cancellationToken)
    {
        var path = PathFor(capabilities);
        return (File.Exists(path) && await AnswersAsync(path, cancellationToken))
            || (shared && capabilities.TakesFiles && await monitor.QueryStatusAsync(cancellationToken) != "inmigrate");
    }

    private static async Task<bool> AnswersAsync(string path, CancellationToken cancellationToken)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public override async Task OpenAsync(IQmpMonitor monitor, QemuCapabilities capabilities, CancellationToken cancellationToken)
    {
        _socketPath = PathFor(capabilities);
        try
        {
            if (capabilities.TakesFiles)
            {
                using var listener = Listen(_socketPath);
                await monitor.NbdServerStartAsync(listener.SafeHandle, maxConnections: 0, cancellationToken);
            }
            else
            {
                await monitor.NbdServerStartAsync(_socketPath, maxConnections: 0, cancellationToken);
                File.SetUnixFileMode(_socketPath, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ExportUnavailableException("SocketNotFound", $"QEMU made its NBD socket where this service cannot reach it: {exception.Message}", exception);
        }
    }

    /// <inheritdoc/>
    public override Task CloseAsync(IQmpMonitor monitor, CancellationToken cancellationToken)
    {
        File.Delete(_socketPath);
        return Task.CompletedTask;
    }

    private string PathFor(QemuCapabilities capabilities) => capabilities.TakesFiles ? _ownSocket : daemonSocket ?? _ownSocket;

    private static Socket Listen(string path)
    {
        // .NET deletes the file that a socket was bound to when the socket is closed, and ours must be closed, else
        // connections would be accepted here after QEMU's end: bind under another name, then rename.
        var bound = path + ".new";
        File.Delete(bound);
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(bound));
        socket.Listen(16);
        File.Move(bound, path, overwrite: true);
        return socket;
    }
}
