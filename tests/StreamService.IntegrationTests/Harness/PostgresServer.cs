using System.Diagnostics;
using System.Globalization;
using Npgsql;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// Debian's PostgreSQL with a cluster in a folder of its own, on a port of its own: it can be stopped, killed, frozen, and started again
/// on the same data. Nothing is synced to the disk, whose loss no test plays.
/// </summary>
internal sealed class PostgresServer : IAsyncDisposable
{
    /// <summary>Of the user streamservice: nothing that is written anywhere may hold it.</summary>
    public const string Password = "hunter2-of-the-tests";

    private static int _databases;

    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-postgres-").FullName;
    private readonly List<string> _log = [];
    private readonly string[] _settings;
    private Process? _process;

    private PostgresServer(string[] settings) => _settings = settings;

    public int Port { get; } = ServiceProcess.FreePort();

    /// <summary>What all its processes have used since it was started, those that have ended included.</summary>
    public TimeSpan CpuTime
    {
        get
        {
            var ticks = 0L;
            foreach (var process in File.ReadAllText($"/proc/{_process!.Id}/task/{_process.Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Append($"{_process.Id}"))
                try
                {
                    var stat = File.ReadAllText($"/proc/{process}/stat");
                    // utime, stime and, of children that have ended, cutime and cstime (proc(5)).
                    ticks += stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[11..15].Sum(count => long.Parse(count, CultureInfo.InvariantCulture));
                }
                catch (IOException)
                {
                    // It has just ended, and is in its parent's sum at the next look.
                }
            return TimeSpan.FromSeconds(ticks / 100.0);
        }
    }

    /// <summary>What the server wrote.</summary>
    public string LogText
    {
        get
        {
            lock (_log)
                return string.Join('\n', _log);
        }
    }

    private string Data => Path.Combine(_folder, "data");

    /// <param name="settings">Beside the defaults, for example <c>max_connections=200</c>.</param>
    public static async Task<PostgresServer> StartAsync(params string[] settings)
    {
        Requires.Postgres();
        var server = new PostgresServer(settings);
        try
        {
            await server.InitializeAsync();
            await server.StartAgainAsync();
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
        return server;
    }

    /// <summary>To a database of that name.</summary>
    public string ConnectionString(string database) => $"Host=127.0.0.1;Port={Port};Database={database};Username=streamservice;Password={Password}";

    /// <summary>The same by its socket, for who is on another network of this machine.</summary>
    public string SocketConnectionString(string connectionString) => connectionString.Replace("Host=127.0.0.1", $"Host={_folder}", StringComparison.Ordinal);

    /// <summary>Makes an empty database.</summary>
    /// <returns>Its connection string.</returns>
    public async Task<string> CreateDatabaseAsync()
    {
        var name = $"test{Interlocked.Increment(ref _databases)}";
        await ExecuteAsync(ConnectionString("postgres"), $"CREATE DATABASE {name}");
        return ConnectionString(name);
    }

    /// <summary>What a service needs to keep its records there.</summary>
    public static Dictionary<string, string> Settings(string connectionString) => new()
    {
        ["StreamService__Storage__Provider"] = "PostgreSql",
        ["StreamService__Storage__ConnectionString"] = connectionString,
    };

    /// <summary>Runs a statement, on a connection of its own.</summary>
    public static async Task ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = await OpenAsync(connectionString);
        await using var command = connection.CreateCommand();
#pragma warning disable CA2100 // The test's own words.
        command.CommandText = sql;
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The first column of the first row; null where there is none.</summary>
    public static async Task<object?> QueryAsync(string connectionString, string sql)
    {
        await using var connection = await OpenAsync(connectionString);
        await using var command = connection.CreateCommand();
#pragma warning disable CA2100 // The test's own words.
        command.CommandText = sql;
#pragma warning restore CA2100
        return await command.ExecuteScalarAsync();
    }

    public async Task StartAgainAsync()
    {
        await Shell.WaitForAsync($"PostgreSQL to answer. Its log: {LogText}", async () =>
        {
            // What a killed server leaves behind is in the way for a moment.
            if (_process is null or { HasExited: true })
                Launch();
            try
            {
                await using var connection = await OpenAsync(ConnectionString("postgres"));
                return true;
            }
            catch (NpgsqlException)
            {
                return false;
            }
        });
    }

    /// <summary>An orderly end that does not wait for clients.</summary>
    public Task StopAsync() => EndAsync("INT");

    /// <summary>SIGKILL to the postmaster; its children follow when they notice.</summary>
    public Task KillAsync() => EndAsync("KILL");

    /// <summary>SIGSTOP to the postmaster and all its children: connections stay, and nothing is answered.</summary>
    public Task FreezeAsync() => SignalAllAsync("STOP");

    /// <summary>SIGCONT.</summary>
    public Task ThawAsync() => SignalAllAsync("CONT");

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            await ThawAsync();
            await StopAsync();
        }
        _process?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task InitializeAsync()
    {
        // It does not run as root.
        if (Environment.IsPrivilegedProcess)
            await Shell.RunAsync("chown", "postgres", _folder);
        var password = Path.Combine(_folder, "password");
        await File.WriteAllTextAsync(password, Password);
        File.SetUnixFileMode(password, (UnixFileMode)0b100_100_100);
        var (program, arguments) = AsPostgres("initdb", "--pgdata", Data, "--username", "streamservice", "--pwfile", password,
            "--auth-host", "scram-sha-256", "--auth-local", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync");
        await Shell.RunAsync(program, arguments);
    }

    private void Launch()
    {
        string[] settings =
        [
            "listen_addresses=127.0.0.1", $"port={Port}", $"unix_socket_directories={_folder}", "fsync=off", "full_page_writes=off", "shared_buffers=32MB", .. _settings,
        ];
        var (program, arguments) = AsPostgres("postgres", ["-D", Data, .. settings.SelectMany(setting => new[] { "-c", setting })]);
        _process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = _folder })!;
        _process.OutputDataReceived += (_, line) => Log(line.Data);
        _process.ErrorDataReceived += (_, line) => Log(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    private static (string Program, string[] Arguments) AsPostgres(string name, params string[] arguments)
    {
        var program = Path.Combine(Requires.PostgresPrograms!, name);
        return Environment.IsPrivilegedProcess ? ("setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", program, .. arguments]) : (program, arguments);
    }

    private async Task EndAsync(string signal)
    {
        await Shell.RunAsync("kill", $"-{signal}", _process!.Id.ToString(CultureInfo.InvariantCulture));
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await _process.WaitForExitAsync(deadline.Token);
    }

    private async Task SignalAllAsync(string signal)
    {
        var postmaster = _process!.Id;
        // The postmaster first, so that no child comes after the look; one may have gone.
        await Shell.RunAsync("sh", "-c", $"kill -{signal} {postmaster} && {{ kill -{signal} $(cat /proc/{postmaster}/task/{postmaster}/children) 2>/dev/null || true; }}");
    }

    private static async Task<NpgsqlConnection> OpenAsync(string connectionString)
    {
        var connection = new NpgsqlConnection(connectionString + ";Pooling=False");
        try
        {
            await connection.OpenAsync();
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    private void Log(string? line)
    {
        if (line is not null)
            lock (_log)
                _log.Add(line);
    }
}
