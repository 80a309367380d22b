using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace StreamService.IntegrationTests.Harness;

/// <summary>Debian's Redis on a port of its own, which keeps nothing: it can be killed, frozen, and started again.</summary>
internal sealed class RedisServer : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-redis-").FullName;
    private readonly List<string> _log = [];
    private Process? _process;

    private RedisServer()
    {
    }

    public int ProcessId => _process!.Id;

    public int Port { get; } = ServiceProcess.FreePort();

    public string ConnectionString => $"127.0.0.1:{Port}";

    /// <summary>The same by its socket, for who is on another network of this machine.</summary>
    public string SocketConnectionString => $"!{SocketPath}";

    private string SocketPath => Path.Combine(_folder, "redis.sock");

    /// <summary>What the server wrote.</summary>
    public string LogText
    {
        get
        {
            lock (_log)
                return string.Join('\n', _log);
        }
    }

    public static async Task<RedisServer> StartAsync()
    {
        Requires.Redis();
        var server = new RedisServer();
        try
        {
            await server.StartAgainAsync();
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
        return server;
    }

    public async Task StartAgainAsync()
    {
        var start = new ProcessStartInfo("redis-server",
            ["--port", Port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", _folder, "--unixsocket", SocketPath])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => Log(line.Data);
        _process.ErrorDataReceived += (_, line) => Log(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        await Shell.WaitForAsync($"Redis to answer. Its log: {LogText}", async () => await PingAsync() == "+PONG");
    }

    /// <summary>SIGKILL.</summary>
    public Task KillAsync() => EndAsync("KILL");

    /// <summary>An orderly end.</summary>
    public Task StopAsync() => EndAsync("TERM");

    /// <summary>SIGSTOP: connections stay, and nothing is answered.</summary>
    public Task FreezeAsync() => SignalAsync("STOP");

    /// <summary>SIGCONT.</summary>
    public Task ThawAsync() => SignalAsync("CONT");

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
            await KillAsync();
        _process?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Its answer to PING, in its own protocol; null where nobody listens.</summary>
    private async Task<string?> PingAsync()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(IPAddress.Loopback, Port);
        }
        catch (SocketException)
        {
            return null;
        }
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync("PING\r\n"u8.ToArray());
        using var reader = new StreamReader(stream);
        return await reader.ReadLineAsync();
    }

    private async Task EndAsync(string signal)
    {
        await SignalAsync(signal);
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await _process!.WaitForExitAsync(deadline.Token);
    }

    private Task<string> SignalAsync(string signal) => Shell.RunAsync("kill", $"-{signal}", _process!.Id.ToString(CultureInfo.InvariantCulture));

    private void Log(string? line)
    {
        if (line is not null)
            lock (_log)
                _log.Add(line);
    }
}
