using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Migrations;

/// <summary>Most tests that migrate use one pair of hosts, one after the other: some of them cut its link.</summary>
[CollectionDefinition(Name)]
public sealed class MigratingHosts : ICollectionFixture<SharedTwoHosts>
{
    public const string Name = "migrating hosts";
}

/// <summary>A service in the first of two hosts, which knows both.</summary>
internal sealed class MigrationSite : IAsyncDisposable
{
    private MigrationSite(TwoHosts hosts, ServiceProcess service)
    {
        Hosts = hosts;
        Service = service;
    }

    public TwoHosts Hosts { get; }

    public ServiceProcess Service { get; }

    public HttpClient Http => Service.Http;

    public static async Task<MigrationSite> StartAsync(SharedTwoHosts shared, Dictionary<string, string>? settings = null)
    {
        Requires.Program("qemu-nbd");
        var hosts = await shared.StartedAsync();
        var all = new Dictionary<string, string>
        {
            ["StreamService__Migration__GiveUpAfter"] = "00:00:10",
            ["StreamService__Streaming__RetryDelayLimit"] = "00:00:02",
        };
        foreach (var (name, value) in settings ?? [])
            all[name] = value;
        return new MigrationSite(hosts, await ServiceProcess.StartAsync(all, hosts));
    }

    public Task<HttpResponseMessage> PostAsync(string domain, object body) => Http.PostAsJsonAsync($"/domains/{domain}/migrations", body);

    /// <summary>Begins a migration.</summary>
    public async Task<JsonElement> BeginAsync(string domain, object? body = null)
    {
        using var answer = await PostAsync(domain, body ?? new { destination = "h2" });
        Assert.True(answer.StatusCode == HttpStatusCode.Accepted, await answer.Content.ReadAsStringAsync() + Service.LogText);
        var migration = await answer.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(Url(migration), answer.Headers.Location!.ToString());
        return migration;
    }

    public static string Url(JsonElement migration) => $"/migrations/{migration.GetProperty("migrationId").GetString()}";

    public Task<JsonElement> GetAsync(JsonElement migration) => Http.GetFromJsonAsync<JsonElement>(Url(migration));

    /// <summary>Long-polls until the migration is as wished; rides out a service that is killed and started again.</summary>
    public async Task<JsonElement> WaitForAsync(JsonElement migration, string what, Func<JsonElement, bool> wished, TimeSpan? within = null)
    {
        using var deadline = new CancellationTokenSource(within ?? TimeSpan.FromMinutes(2));
        while (!wished(migration))
        {
            try
            {
                migration = await Http.GetFromJsonAsync<JsonElement>(
                    $"{Url(migration)}?waitForGeneration={migration.GetProperty("generation").GetInt64() + 1}&timeoutSeconds=5", deadline.Token);
            }
            catch (HttpRequestException) when (!deadline.IsCancellationRequested)
            {
                await Task.Delay(100);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Waited too long for {what}; last: {migration}\n{Service.LogText}");
            }
        }
        return migration;
    }

    public Task<JsonElement> WaitForEndAsync(JsonElement migration) =>
        WaitForAsync(migration, "its end", now => State(now) is "completed" or "failed" or "cancelled");

    public async Task<JsonElement> WaitForStateAsync(JsonElement migration, string state)
    {
        var end = await WaitForAsync(migration, state, now => State(now) == state || State(now) is "completed" or "failed" or "cancelled");
        Assert.True(State(end) == state, $"Waited for {state}, got {end}\n{Service.LogText}");
        return end;
    }

    public static string State(JsonElement migration) => migration.GetProperty("state").GetString()!;

    /// <summary>
    /// What libvirt, the file systems and the sockets tell of a domain that is on the first host: to see that nothing was changed.
    /// </summary>
    public async Task<string> PictureAsync(string domain)
    {
        var parts = new List<string>();
        foreach (var which in new[] { "--inactive", "--migratable" })
            parts.Add(await Hosts.VirshAsync(1, "dumpxml", domain, which));
        foreach (var host in new[] { 1, 2 })
        {
            parts.Add(await Hosts.VirshAsync(host, "list", "--all", "--name"));
            parts.Add(await Hosts.VirshAsync(host, "pool-list", "--all", "--name"));
            parts.AddRange(Directory.GetFileSystemEntries(Hosts.Srv(host)).Order());
            parts.Add(await Hosts.ExecAsync(host, "ss", "-Hltn"));
        }
        return string.Join('\n', parts);
    }

    /// <summary>A file of a host, as this process sees it.</summary>
    public string OnHost(int host, string path) => Path.Combine(Hosts.Srv(host), Path.GetRelativePath("/srv", path));

    /// <summary>The states of the steps, in order.</summary>
    public static IReadOnlyDictionary<string, string> Steps(JsonElement migration) =>
        migration.GetProperty("steps").EnumerateArray().ToDictionary(step => step.GetProperty("name").GetString()!, step => step.GetProperty("state").GetString()!);

    public static JsonElement Step(JsonElement migration, string name) =>
        migration.GetProperty("steps").EnumerateArray().Single(step => step.GetProperty("name").GetString() == name);

    /// <summary>The qemu-nbd processes of a migration.</summary>
    public static async Task<IReadOnlyList<int>> ExportsAsync(JsonElement migration)
    {
        var mark = Guid.Parse(migration.GetProperty("migrationId").GetString()!).ToString("N");
        var found = await Shell.RunAsync("sh", "-c", $"pgrep -f 'qemu-nbd .*{mark}' || true");
        return [.. found.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(pid => int.Parse(pid, System.Globalization.CultureInfo.InvariantCulture))
            // Not the shell that looks.
            .Where(pid => { try { return File.ReadAllText($"/proc/{pid}/comm").Trim() == "qemu-nbd"; } catch (IOException) { return false; } })];
    }

    /// <summary>Expects that nothing of exports is left: no process, nobody who listens on the range's ports.</summary>
    public async Task AssertNoExportsAsync(JsonElement migration)
    {
        Assert.Empty(await ExportsAsync(migration));
        Assert.DoesNotContain(":108", await Hosts.ExecAsync(1, "ss", "-Hltn"), StringComparison.Ordinal);
    }

    public ValueTask DisposeAsync() => Service.DisposeAsync();
}
