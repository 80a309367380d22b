using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;

namespace StreamService.IntegrationTests.Harness;

/// <summary>The real service, a process of its own: it can be killed, and started again on the same records.</summary>
internal sealed class ServiceProcess : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-service-").FullName;
    private readonly Dictionary<string, string> _settings;
    private readonly List<string> _log = [];
    private Process? _process;

    private ServiceProcess(Dictionary<string, string> settings)
    {
        _settings = settings;
        Address = new Uri($"http://127.0.0.1:{FreePort()}");
        Http = new HttpClient(OpenApiContract.Handler()) { BaseAddress = Address, Timeout = TimeSpan.FromMinutes(5) };
    }

    public Uri Address { get; }

    /// <summary>Checks all traffic against the OpenAPI document.</summary>
    public HttpClient Http { get; }

    public int ProcessId => _process!.Id;

    /// <param name="settings">Configuration beside the defaults: one local libvirt host called "local", SQLite in a folder of its own.</param>
    public static async Task<ServiceProcess> StartAsync(Dictionary<string, string>? settings = null)
    {
        var service = new ServiceProcess(settings ?? []);
        await service.StartAgainAsync();
        return service;
    }

    /// <summary>Where the service looks for monitor sockets: host "monitors".</summary>
    private string MonitorFolder => Path.Combine(_folder, "monitors");

    public async Task StartAgainAsync()
    {
        Directory.CreateDirectory(MonitorFolder);
        var assembly = typeof(Program).Assembly.Location;
        var start = new ProcessStartInfo("dotnet", [assembly])
        {
            // Where appsettings.json and the dashboard's wwwroot are.
            WorkingDirectory = Path.Combine(Repository.Root, "src", "StreamService"),
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["ASPNETCORE_URLS"] = Address.ToString();
        start.Environment["StreamService__Hosts__0__Name"] = "local";
        start.Environment["StreamService__Hosts__0__Uri"] = "qemu:///system";
        if (!_settings.ContainsKey("StreamService__Hosts__1__Name"))
        {
            start.Environment["StreamService__Hosts__1__Name"] = "monitors";
            start.Environment["StreamService__Hosts__1__Uri"] = $"qmp+unix://{MonitorFolder}/*.sock";
        }
        start.Environment["StreamService__Storage__ConnectionString"] = $"Data Source={Path.Combine(_folder, "streams.db")}";
        start.Environment["StreamService__RuntimeDirectory"] = Path.Combine(_folder, "run");
        foreach (var (name, value) in _settings)
            start.Environment[name] = value;
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => Log(line.Data);
        _process.ErrorDataReceived += (_, line) => Log(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        await Shell.WaitForAsync($"the service to be ready. Its log: {LogText}", async () =>
        {
            Assert.False(_process.HasExited, $"The service ended: {LogText}");
            try
            {
                using var answer = await Http.GetAsync("/readyz");
                return answer.IsSuccessStatusCode && await IsConnectedAsync();
            }
            catch (HttpRequestException)
            {
                return false;
            }
        });
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

    /// <summary>SIGTERM, and the end of an orderly stop.</summary>
    public async Task StopAsync()
    {
        await Shell.RunAsync("kill", "-TERM", ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture));
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await _process!.WaitForExitAsync(deadline.Token);
    }

    public static string DiskUrl(TestDomain domain) => $"/domains/{domain.Key}/disks/vda";

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
        using var answer = await StreamAsync(domain, body ?? new { mode = "full" });
        Assert.True(answer.StatusCode == HttpStatusCode.Accepted, await answer.Content.ReadAsStringAsync());
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    public Task<JsonElement> StatusAsync(TestDomain domain) => Http.GetFromJsonAsync<JsonElement>($"{DiskUrl(domain)}/status");

    public async Task<JsonElement> ChangeAsync(TestDomain domain, object body)
    {
        using var answer = await Http.PatchAsJsonAsync($"{DiskUrl(domain)}/stream", body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    /// <summary>Long-polls until the disk's stream is in the state; fails at once in another final state.</summary>
    public async Task<JsonElement> WaitForStateAsync(TestDomain domain, string state, TimeSpan? within = null) =>
        await WaitForAsync(domain, $"state {state}", status =>
        {
            var now = status.GetProperty("state").GetString();
            Assert.True(now == state || now is not ("completed" or "failed" or "cancelled"), $"Waited for {state}, got {status}\n{LogText}");
            return now == state;
        }, within);

    /// <summary>Long-polls until the status is as wished.</summary>
    public async Task<JsonElement> WaitForAsync(TestDomain domain, string what, Func<JsonElement, bool> wished, TimeSpan? within = null)
    {
        using var deadline = new CancellationTokenSource(within ?? TimeSpan.FromMinutes(1));
        var status = await StatusAsync(domain);
        while (!wished(status))
        {
            try
            {
                status = await Http.GetFromJsonAsync<JsonElement>(
                    $"{DiskUrl(domain)}/status?waitForGeneration={status.GetProperty("generation").GetInt64() + 1}&timeoutSeconds=10", deadline.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Waited too long for {what}; last status: {status}\n{LogText}");
            }
        }
        return status;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
            await StopAsync();
        _process?.Dispose();
        Http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Whether the first host answers; the folder of monitors always does.</summary>
    private async Task<bool> IsConnectedAsync() =>
        (await Http.GetFromJsonAsync<JsonElement>("/hosts"))[0].GetProperty("state").GetString() == "connected";

    private void Log(string? line)
    {
        if (line is not null)
            lock (_log)
                _log.Add(line);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
