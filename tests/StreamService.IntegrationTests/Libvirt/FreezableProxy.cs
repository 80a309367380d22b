using System.Net.Sockets;

namespace StreamService.IntegrationTests.Libvirt;

/// <summary>
/// Stands between a client and the system's libvirt daemon on a socket of its own. Frozen, it takes bytes no
/// further, as a daemon that hangs; cut, it closes, as one that is stopped.
/// </summary>
internal sealed class FreezableProxy : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lv-");
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _end = new();
    private readonly List<Socket> _sockets = [];
    private readonly TaskCompletionSource _clientLeft = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile TaskCompletionSource _flowing = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public FreezableProxy(bool frozen)
    {
        if (!frozen)
            Thaw();
        var path = Path.Combine(_folder.FullName, "libvirt.sock");
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen();
        Uri = $"qemu+unix:///system?socket={path}";
        _ = AcceptAsync();
    }

    public string Uri { get; }

    /// <summary>Completes when the first client closes its connection.</summary>
    public Task ClientLeft => _clientLeft.Task;

    public void Freeze() => _flowing = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What was held back goes on its way.</summary>
    public void Thaw() => _flowing.TrySetResult();

    public void Cut()
    {
        lock (_sockets)
            _sockets.ForEach(socket => socket.Dispose());
    }

    public void Dispose()
    {
        _end.Cancel();
        _listener.Dispose();
        Cut();
        _end.Dispose();
        _folder.Delete(recursive: true);
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = Keep(await _listener.AcceptAsync(_end.Token));
                var daemon = Keep(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified));
                await daemon.ConnectAsync(new UnixDomainSocketEndPoint(Requires.LibvirtSocket), _end.Token);
                _ = PumpAsync(client, daemon).ContinueWith(_ => _clientLeft.TrySetResult(), TaskScheduler.Default);
                _ = PumpAsync(daemon, client);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Over.
        }
    }

    private async Task PumpAsync(Socket from, Socket to)
    {
        var buffer = new byte[65536];
        try
        {
            int count;
            while ((count = await from.ReceiveAsync(buffer, _end.Token)) > 0)
            {
                await _flowing.Task.WaitAsync(_end.Token);
                await to.SendAsync(buffer.AsMemory(0, count), _end.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Over.
        }
    }

    private Socket Keep(Socket socket)
    {
        lock (_sockets)
            _sockets.Add(socket);
        return socket;
    }
}
