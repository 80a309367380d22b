using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace StreamService.Tests.Qmp;

/// <summary>A monitor that speaks the real wire over a Unix socket, to one client after the other, from a script.</summary>
internal sealed class FakeQmpServer : IAsyncDisposable
{
    public const string Greeting = """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}""";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("qmp-");
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Task _serving;

    /// <param name="script">What each connection does from its first byte on; the connection closes at its end.</param>
    public FakeQmpServer(Func<FakeQmpConnection, Task> script)
    {
        _listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
        _listener.Listen();
        _serving = ServeAsync(script);
    }

    public string SocketPath => Path.Combine(_folder.FullName, "qmp.sock");

    /// <summary>A monitor that greets and negotiates, then follows the script.</summary>
    public static FakeQmpServer Serve(Func<FakeQmpConnection, Task> script) => new(async connection =>
    {
        await connection.GreetAsync();
        await script(connection);
    });

    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await _serving;
        _folder.Delete(recursive: true);
    }

    private async Task ServeAsync(Func<FakeQmpConnection, Task> script)
    {
        try
        {
            while (true)
            {
                using var socket = await _listener.AcceptAsync();
                using var connection = new FakeQmpConnection(socket);
                try
                {
                    await script(connection);
                }
                catch (Exception exception) when (exception is SocketException or IOException)
                {
                    // The client left first.
                }
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The end of the test.
        }
    }
}

/// <summary>One client of a <see cref="FakeQmpServer"/>.</summary>
internal sealed class FakeQmpConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly StreamReader _reader;

    public FakeQmpConnection(Socket socket)
    {
        _socket = socket;
        _reader = new StreamReader(new NetworkStream(socket));
    }

    public Socket Socket => _socket;

    public Task SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
            bytes = bytes[await _socket.SendAsync(bytes)..];
    }

    public Task SendLineAsync(string json) => SendAsync(json + "\r\n");

    public async Task GreetAsync()
    {
        await SendLineAsync(FakeQmpServer.Greeting);
        await AnswerAsync("{}");
    }

    /// <summary>The next command; null where the client closed.</summary>
    public async Task<(string Command, long Id, JsonElement Arguments)?> ReceiveAsync()
    {
        if (await _reader.ReadLineAsync() is not { } line)
            return null;
        var message = JsonDocument.Parse(line).RootElement;
        return (message.GetProperty("execute").GetString()!, message.GetProperty("id").GetInt64(),
            message.TryGetProperty("arguments", out var arguments) ? arguments : default);
    }

    /// <summary>Receives a command and answers it.</summary>
    /// <exception cref="IOException">The client closed instead.</exception>
    public async Task AnswerAsync(string result)
    {
        var (_, id, _) = await ReceiveAsync() ?? throw new IOException("The client left.");
        await SendLineAsync($$"""{"return": {{result}}, "id": {{id}}}""");
    }

    public void Dispose() => _reader.Dispose();

    /// <summary>Returns once the client has closed.</summary>
    public async Task UntilClosedAsync()
    {
        while (await ReceiveAsync() is not null)
        {
        }
    }
}
