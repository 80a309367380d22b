using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace StreamService.Tests.Nbd;

/// <summary>What a fake server exports.</summary>
internal sealed record FakeNbdExport
{
    /// <summary>HAS_FLAGS, READ_ONLY, SEND_FLUSH, CAN_MULTI_CONN, SEND_CACHE: what QEMU sets on a read-only export.</summary>
    public const int QemuFlags = 1 | 2 | 4 | (1 << 8) | (1 << 10);

    public ulong Size { get; init; } = 1 << 20;

    public int Flags { get; init; } = QemuFlags;

    public (uint Minimum, uint Preferred, uint Maximum)? BlockSizes { get; init; } = (1, 65536, 32 << 20);

    /// <summary>Contexts to grant, by id.</summary>
    public IReadOnlyDictionary<uint, string> Contexts { get; init; } =
        new Dictionary<uint, string> { [7] = "base:allocation", [9] = "qemu:allocation-depth" };

    public X509Certificate2? Certificate { get; init; }
}

internal sealed record FakeNbdRequest(int Flags, int Type, ulong Cookie, long Offset, int Length);

/// <summary>
/// An NBD server on a real Unix socket in a folder of its own, or on a port of the loopback. Takes one connection and plays a script on it; when the
/// script ends the connection is closed.
/// </summary>
internal sealed class FakeNbdServer : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("nbd-");
    private readonly Socket _listener;

    public FakeNbdServer(Func<FakeNbdConnection, Task> script, bool tcp = false)
    {
        _listener = tcp
            ? new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
            : new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _listener.Bind(tcp ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint(Path.Combine(_folder.FullName, "s")));
        EndPoint = _listener.LocalEndPoint!;
        _listener.Listen();
        Script = PlayAsync(script);
    }

    public EndPoint EndPoint { get; }

    /// <summary>The script's own outcome: await it so that a failed assertion within is seen.</summary>
    public Task Script { get; }

    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await NbdTest.Soon(Script.ContinueWith(static _ => { }, TaskScheduler.Default)); // tests look at its outcome where they care
        _folder.Delete(recursive: true);
    }

    private async Task PlayAsync(Func<FakeNbdConnection, Task> script)
    {
        using Socket socket = await _listener.AcceptAsync();
        await using var connection = new FakeNbdConnection(new NetworkStream(socket, ownsSocket: true));
        await script(connection);
    }
}

/// <summary>The server's side of one connection. All that waits ends with the test's token or the deadline of the test.</summary>
internal sealed class FakeNbdConnection(Stream stream) : IAsyncDisposable
{
    private Stream _stream = stream;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Export name told by the client's last option that has one.</summary>
    public string? ExportName { get; private set; }

    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    public async Task SendAsync(params byte[][] messages)
    {
        foreach (byte[] message in messages)
        {
            await _stream.WriteAsync(message, Token);
        }
    }

    public async Task<byte[]> ReceiveAsync(int count)
    {
        var bytes = new byte[count];
        await _stream.ReadExactlyAsync(bytes, Token);
        return bytes;
    }

    public async Task<(uint Option, byte[] Data)> ReceiveOptionAsync()
    {
        byte[] header = await ReceiveAsync(16);
        Assert.Equal("IHAVEOPT"u8.ToArray(), header[..8]);
        return (U32(header, 8), await ReceiveAsync((int)U32(header, 12)));
    }

    public async Task<FakeNbdRequest> ReceiveRequestAsync()
    {
        byte[] request = await ReceiveAsync(28);
        Assert.Equal(0x25609513u, U32(request, 0));
        return new FakeNbdRequest(
            BinaryPrimitives.ReadUInt16BigEndian(request.AsSpan(4)),
            BinaryPrimitives.ReadUInt16BigEndian(request.AsSpan(6)),
            BinaryPrimitives.ReadUInt64BigEndian(request.AsSpan(8)),
            BinaryPrimitives.ReadInt64BigEndian(request.AsSpan(16)),
            (int)U32(request, 24));
    }

    /// <summary>Reads what the client sends until it closes.</summary>
    public async Task DrainAsync()
    {
        var bytes = new byte[4096];
        try
        {
            while (await _stream.ReadAsync(bytes, Token) > 0)
            {
            }
        }
        catch (IOException)
        {
            // Reset: closed as well.
        }
    }

    /// <summary>The whole handshake of a well-behaved server.</summary>
    public async Task HandshakeAsync(FakeNbdExport? export = null)
    {
        export ??= new FakeNbdExport();
        await SendAsync(Wire.Greeting());
        Assert.Equal(3u, U32(await ReceiveAsync(4), 0)); // the client takes both flags up
        while (true)
        {
            (uint option, byte[] data) = await ReceiveOptionAsync();
            switch (option)
            {
                case 5 when export.Certificate is { } certificate:
                    await SendAsync(Wire.OptionReply(option, 1));
                    var secured = new SslStream(_stream);
                    _stream = secured;
                    await secured.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, Token);
                    break;
                case 8:
                    await SendAsync(Wire.OptionReply(option, 1));
                    break;
                case 10:
                    ExportName = LeadingString(data);
                    foreach ((uint id, string name) in export.Contexts)
                    {
                        await SendAsync(Wire.OptionReply(option, 4, Wire.Context(id, name)));
                    }

                    await SendAsync(Wire.OptionReply(option, 1));
                    break;
                case 7:
                    ExportName = LeadingString(data);
                    await SendAsync(Wire.OptionReply(option, 3, Wire.ExportInfo(export.Size, export.Flags)));
                    if (export.BlockSizes is { } sizes)
                    {
                        await SendAsync(Wire.OptionReply(option, 3, Wire.BlockSizes(sizes.Minimum, sizes.Preferred, sizes.Maximum)));
                    }

                    await SendAsync(Wire.OptionReply(option, 1));
                    return;
                default:
                    await SendAsync(Wire.OptionReply(option, 0x80000001));
                    break;
            }
        }
    }

    private static string LeadingString(byte[] data) => System.Text.Encoding.UTF8.GetString(data, 4, (int)U32(data, 0));

    private static uint U32(byte[] bytes, int offset) => BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(offset));
}
