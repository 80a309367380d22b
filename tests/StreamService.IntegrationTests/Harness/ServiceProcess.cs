using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using StreamService.Client;

namespace StreamService.IntegrationTests.Harness;

/// <summary>The real service, a process of its own: it can be killed, and started again on the same records.</summary>
internal sealed class ServiceProcess : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-service-").FullName;
    private readonly Dictionary<string, string> _settings;
    private readonly TwoHosts? _hosts;
    private readonly int _host;
    private readonly string? _alsoAt;
    private readonly List<string> _log = [];
    private Process? _process;
    private string? _key;

    private ServiceProcess(Dictionary<string, string> settings, TwoHosts? hosts, string? alsoAt, int host = 1)
    {
        _host = host;
        _alsoAt = alsoAt;
        _settings = settings;
        _hosts = hosts;
        Address = new Uri(hosts is null ? $"http://127.0.0.1:{FreePort()}" : "http://localhost");
        Http = new HttpClient(new OpenApiContract(Transport())) { BaseAddress = Address, Timeout = TimeSpan.FromMinutes(5) };
        Client = new StreamServiceClient(new StreamServiceClientOptions { BaseAddress = Address, Credential = _ => ValueTask.FromResult(_key), Transport = new OpenApiContract(Transport()) });
    }

    /// <summary>What it is called with; <see cref="Transport"/> gets there.</summary>
    public Uri Address { get; }

    /// <summary>Checks all traffic against the OpenAPI document.</summary>
    public HttpClient Http { get; }

    /// <summary>The client library, with the same check and key.</summary>
    public StreamServiceClient Client { get; }

    /// <summary>The service as streamctl and the client library are told of it.</summary>
    public string Server => _hosts is null ? Address.ToString() : $"unix:{ApiSocket}";

    public int ProcessId => _process!.Id;

    /// <param name="settings">Configuration beside the defaults: one local libvirt host called "local", SQLite in a folder of its own.</param>
    /// <param name="hosts">Runs it in the first of these two, with both as its hosts, "h1" and "h2".</param>
    /// <param name="alsoAt">An address to listen on besides.</param>
    /// <param name="host">In which of the two; where it is one of several replicas, its settings say what its hosts are.</param>
    /// <param name="guarded">Has it ask for a key; <see cref="Http"/> has <see cref="AdminKey"/>.</param>
    public static async Task<ServiceProcess> StartAsync(Dictionary<string, string>? settings = null, TwoHosts? hosts = null, bool guarded = false, string? alsoAt = null, int? host = null)
    {
        var service = new ServiceProcess(settings ?? [], hosts, alsoAt, host ?? 1);
        if (guarded)
        {
            service.Http.DefaultRequestHeaders.Authorization = new("Bearer", service._key = AdminKey);
            service.AddKey(0, "admin", AdminKey, "admin");
            service.AddKey(1, "reader", ReaderKey, "streams:read");
        }
        await service.StartAgainAsync();
        return service;
    }

    /// <summary>Starts a service that is expected to end by itself, and tells how it did.</summary>
    public static async Task<(int ExitCode, string Log)> RunToEndAsync(Dictionary<string, string> settings, string alsoAt)
    {
        await using var service = new ServiceProcess(settings, hosts: null, alsoAt);
        service.Launch();
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        await service._process!.WaitForExitAsync(deadline.Token);
        return (service._process.ExitCode, service.LogText);
    }

    /// <summary>Keys of a guarded service: one that may everything, one that may look.</summary>
    public const string AdminKey = "ssk_admin", ReaderKey = "ssk_reader";

    private void AddKey(int index, string name, string key, string scope)
    {
        var hash = System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(key));
        _settings[$"StreamService__Auth__ApiKeys__{index}__Name"] = name;
        _settings[$"StreamService__Auth__ApiKeys__{index}__Hash"] = "sha256:" + Convert.ToHexStringLower(hash);
        _settings[$"StreamService__Auth__ApiKeys__{index}__Scopes__0"] = scope;
    }

    /// <summary>Connects to the service, which listens on a Unix socket where this process is not on its network.</summary>
    public SocketsHttpHandler Transport()
    {
        var handler = new SocketsHttpHandler();
        if (_hosts is not null)
            handler.ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(ApiSocket), cancellationToken);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        return handler;
    }

    /// <summary>Where it listens in the network of the first of two hosts, for who is there too.</summary>
    public static Uri AddressWithin { get; } = new("http://127.0.0.1:5080");

    /// <summary>Where its NBD sockets are.</summary>
    public string RuntimeFolder => Path.Combine(_folder, "run");

    /// <summary>Its records.</summary>
    public string Database => Path.Combine(_folder, "streams.db");

    private string ApiSocket => Path.Combine(_folder, "api.sock");

    /// <summary>Where the service looks for monitor sockets: host "monitors".</summary>
    public string MonitorFolder => Path.Combine(_folder, "monitors");

    public async Task StartAgainAsync()
    {
        Launch();
        await Shell.WaitForAsync($"the service to be ready. Its log: {LogText}", async () =>
        {
            Assert.False(_process!.HasExited, $"The service ended: {LogText}");
            try
            {
                using var answer = await Http.GetAsync("/readyz");
                return answer.IsSuccessStatusCode && await IsConnectedAsync();
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }, TimeSpan.FromMinutes(1.5));
    }

    private void Launch()
    {
        Directory.CreateDirectory(MonitorFolder);
        // Where the program, appsettings.json and the dashboard's wwwroot are: published, or as they are built and written.
        var published = Environment.GetEnvironmentVariable("STREAMSERVICE_TEST_SERVICE");
        var assembly = published is null ? typeof(Program).Assembly.Location : Path.Combine(published, "StreamService.dll");
        var folder = published ?? Path.Combine(Repository.Root, "src", "StreamService");
        // Entering a host leaves the working directory behind.
        var (program, arguments) = _hosts?.Enter(_host, "env", $"--chdir={folder}", "dotnet", assembly) ?? ("dotnet", [assembly]);
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // The socket of a service that was killed is in the way of the next.
        File.Delete(ApiSocket);
        start.Environment["ASPNETCORE_URLS"] = (_hosts is null ? Address.ToString() : $"http://unix:{ApiSocket}" + (_alsoAt is null ? $";{AddressWithin}" : "")) + (_alsoAt is null ? "" : $";{_alsoAt}");
        start.Environment["StreamService__Hosts__0__Name"] = _hosts is null ? "local" : "h1";
        start.Environment["StreamService__Hosts__0__Uri"] = "qemu:///system";
        if (_hosts is not null)
        {
            start.Environment["StreamService__Hosts__1__Name"] = "h2";
            start.Environment["StreamService__Hosts__1__Uri"] = TwoHosts.UriOf(2);
        }
        else if (!_settings.ContainsKey("StreamService__Hosts__1__Name"))
        {
            start.Environment["StreamService__Hosts__1__Name"] = "monitors";
            start.Environment["StreamService__Hosts__1__Uri"] = $"qmp+unix://{MonitorFolder}/*.sock";
        }
        start.Environment["StreamService__Storage__ConnectionString"] = $"Data Source={Database}";
        start.Environment["StreamService__RuntimeDirectory"] = RuntimeFolder;
        foreach (var (name, value) in _settings)
            start.Environment[name] = value;
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => Log(line.Data);
        _process.ErrorDataReceived += (_, line) => Log(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public string LogText
    {
        get
        {
            lock (_log)
                return string.Join('\n', _log);
        }
    }

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        _process!.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>SIGSTOP: it stands still, its connections stay.</summary>
    public Task FreezeAsync() => Shell.RunAsync("kill", "-STOP", ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>SIGCONT.</summary>
    public Task ThawAsync() => Shell.RunAsync("kill", "-CONT", ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>Whether it was killed or has ended.</summary>
    public bool HasExited => _process!.HasExited;

    /// <summary>SIGTERM, and the end of an orderly stop.</summary>
    public async Task StopAsync()
    {
        await Shell.RunAsync("kill", "-TERM", ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture));
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        try
        {
            await _process!.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"The service does not stop: {LogText}");
        }
    }

    public static string DiskUrl(TestDomain domain) => $"/domains/{domain.Key}/disks/vda";

    public static string DiskUrl(MigratingGuest domain, string target = "vda") => $"/domains/{domain.Id}/disks/{target}";

    /// <summary>Makes a domain that libvirt does not run known to the service.</summary>
    public async Task AdoptAsync(TestDomain domain)
    {
        if (domain.LinkInto(MonitorFolder))
            await Shell.WaitForAsync($"domain {domain.Name} to be known. The service's log: {LogText}", async () =>
            {
                using var answer = await Http.GetAsync(DiskUrl(domain));
                return answer.IsSuccessStatusCode;
            });
    }

    public async Task<HttpResponseMessage> StreamAsync(TestDomain domain, object body)
    {
        await AdoptAsync(domain);
        return await Http.PostAsJsonAsync($"{DiskUrl(domain)}/stream", body);
    }

    /// <summary>Starts a full stream and expects it to be accepted.</summary>
    public async Task<JsonElement> StartStreamAsync(TestDomain domain, object? body = null)
    {
        await AdoptAsync(domain);
        return await StartStreamAsync(DiskUrl(domain), body);
    }

    /// <inheritdoc cref="StartStreamAsync(TestDomain, object?)"/>
    public async Task<JsonElement> StartStreamAsync(string diskUrl, object? body = null)
    {
        using var answer = await Http.PostAsJsonAsync($"{diskUrl}/stream", body ?? new { mode = "full" });
        Assert.True(answer.StatusCode == HttpStatusCode.Accepted, await answer.Content.ReadAsStringAsync());
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    public Task<JsonElement> StatusAsync(TestDomain domain) => StatusAsync(DiskUrl(domain));

    public Task<JsonElement> StatusAsync(string diskUrl) => GetAsync($"{diskUrl}/status", CancellationToken.None);

    /// <exception cref="HttpRequestException">It is not answered with success; the answer is in it.</exception>
    private async Task<JsonElement> GetAsync(string url, CancellationToken cancellationToken)
    {
        using var answer = await Http.GetAsync(url, cancellationToken);
        if (!answer.IsSuccessStatusCode)
            throw new HttpRequestException($"{url} answered {await answer.Content.ReadAsStringAsync(cancellationToken)}", inner: null, answer.StatusCode);
        return await answer.Content.ReadFromJsonAsync<JsonElement>(cancellationToken);
    }

    public Task<JsonElement> ChangeAsync(TestDomain domain, object body) => ChangeAsync(DiskUrl(domain), body);

    public async Task<JsonElement> ChangeAsync(string diskUrl, object body)
    {
        using var answer = await Http.PatchAsJsonAsync($"{diskUrl}/stream", body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    /// <summary>From here on as fast as it can; a stream that has come to its end meanwhile needs no hurry.</summary>
    public Task HurryAsync(TestDomain domain) => HurryAsync(DiskUrl(domain));

    /// <inheritdoc cref="HurryAsync(TestDomain)"/>
    public async Task HurryAsync(string diskUrl)
    {
        using var answer = await Http.PatchAsJsonAsync($"{diskUrl}/stream", new { bandwidth = 0, policy = "fixed" });
        Assert.True(answer.IsSuccessStatusCode || answer.StatusCode == System.Net.HttpStatusCode.NotFound, await answer.Content.ReadAsStringAsync());
    }

    /// <summary>Long-polls until the disk's stream is in the state; fails at once in another final state.</summary>
    public Task<JsonElement> WaitForStateAsync(TestDomain domain, string state, TimeSpan? within = null) =>
        WaitForStateAsync(DiskUrl(domain), state, within);

    /// <inheritdoc cref="WaitForStateAsync(TestDomain, string, TimeSpan?)"/>
    public async Task<JsonElement> WaitForStateAsync(string diskUrl, string state, TimeSpan? within = null) =>
        await WaitForAsync(diskUrl, $"state {state}", status =>
        {
            var now = status.GetProperty("state").GetString();
            Assert.True(now == state || now is not ("completed" or "failed" or "cancelled"), $"Waited for {state}, got {status}\n{LogText}");
            return now == state;
        }, within);

    /// <summary>Long-polls until the status is as wished.</summary>
    public Task<JsonElement> WaitForAsync(TestDomain domain, string what, Func<JsonElement, bool> wished, TimeSpan? within = null) =>
        WaitForAsync(DiskUrl(domain), what, wished, within);

    /// <inheritdoc cref="WaitForAsync(TestDomain, string, Func{JsonElement, bool}, TimeSpan?)"/>
    public async Task<JsonElement> WaitForAsync(string diskUrl, string what, Func<JsonElement, bool> wished, TimeSpan? within = null)
    {
        using var deadline = new CancellationTokenSource(within ?? TimeSpan.FromMinutes(1));
        JsonElement? now = null;
        while (now is not { } status || !wished(status))
        {
            try
            {
                now = await GetAsync($"{diskUrl}/status{(now is null ? "" : $"?waitForGeneration={now.Value.GetProperty("generation").GetInt64() + 1}&timeoutSeconds=10")}", deadline.Token);
            }
            catch (HttpRequestException away) when (away.StatusCode == HttpStatusCode.ServiceUnavailable)
            {
                // Its host has no driver just now, as every caller is told who is to come back later.
                await Task.Delay(100);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Waited too long for {what}; last status: {now}\n{LogText}");
            }
        }
        return now.Value;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            // Where a test has left it standing still.
            await ThawAsync();
            await StopAsync();
        }
        _process?.Dispose();
        Http.Dispose();
        Client.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Whether the first host answers, the folder of monitors always does; of two hosts whether both do.</summary>
    private async Task<bool> IsConnectedAsync() =>
        (await Http.GetFromJsonAsync<JsonElement>("/hosts")).EnumerateArray().Take(_hosts is null ? 1 : 2)
            .All(host => host.GetProperty("state").GetString() == "connected");

    private event Action<string>? Logged;

    /// <summary>Completes as soon as the log has a line with these words, from now on.</summary>
    public Task WhenLoggedAsync(string words)
    {
        var logged = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Logged += line =>
        {
            if (line.Contains(words, StringComparison.Ordinal))
                logged.TrySetResult();
        };
        return logged.Task.WaitAsync(TimeSpan.FromMinutes(1));
    }

    private void Log(string? line)
    {
        if (line is null)
            return;
        lock (_log)
            _log.Add(line);
        Logged?.Invoke(line);
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
