using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// Several replicas of the real service, each a process, on a PostgreSQL and a Redis of their own. Their hosts are folders of monitor
/// sockets, whose domains are qemu-storage-daemons.
/// </summary>
internal sealed class ReplicaFleet : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-fleet-").FullName;
    private readonly List<ServiceProcess> _replicas = [];

    private ReplicaFleet(PostgresServer postgres, RedisServer redis, string database) => (Postgres, Redis, Database) = (postgres, redis, database);

    public PostgresServer Postgres { get; }

    public RedisServer Redis { get; }

    /// <summary>Its connection string.</summary>
    public string Database { get; }

    /// <summary>In the order of their names: a, b, c.</summary>
    public IReadOnlyList<ServiceProcess> Replicas => _replicas;

    /// <summary>The hosts' names.</summary>
    public IReadOnlyList<string> Hosts { get; private set; } = [];

    /// <summary>Starts all, and waits until each host has a driver and they are spread evenly.</summary>
    /// <param name="hosts">How many hosts.</param>
    public static async Task<ReplicaFleet> StartAsync(int replicas = 3, int hosts = 3, params string[] postgresSettings)
    {
        var postgres = await PostgresServer.StartAsync(postgresSettings);
        RedisServer? redis = null;
        ReplicaFleet? fleet = null;
        try
        {
            redis = await RedisServer.StartAsync();
            fleet = new ReplicaFleet(postgres, redis, await postgres.CreateDatabaseAsync()) { Hosts = [.. Enumerable.Range(1, hosts).Select(i => $"h{i}")] };
            foreach (var host in fleet.Hosts)
                Directory.CreateDirectory(fleet.FolderOf(host));
            foreach (var i in Enumerable.Range(0, replicas))
                fleet._replicas.Add(await ServiceProcess.StartAsync(fleet.SettingsOf(NameOf(i))));
            await fleet.WaitUntilSpreadAsync();
            return fleet;
        }
        catch
        {
            if (fleet is not null)
                await fleet.DisposeAsync();
            else
            {
                await (redis?.DisposeAsync() ?? ValueTask.CompletedTask);
                await postgres.DisposeAsync();
            }
            throw;
        }
    }

    /// <summary>Waits until each host is driven, and no live replica drives two more than another.</summary>
    public Task WaitUntilSpreadAsync(TimeSpan? within = null) => Shell.WaitForAsync($"hosts to be spread. The logs: {LogText}", async () =>
    {
        var alive = Alive();
        var drivers = (await DriversAsync()).Values.ToList();
        var loads = alive.Select(i => drivers.Count(driver => driver == NameOf(i))).ToList();
        return drivers.Count == Hosts.Count && drivers.All(driver => driver is not null) && loads.Max() - loads.Min() < 2 && loads.Sum() == Hosts.Count;
    }, within);

    /// <summary>Who drives each host, as one of the replicas that live tells it.</summary>
    public async Task<IReadOnlyDictionary<string, string?>> DriversAsync(int? asked = null)
    {
        try
        {
            var hosts = await _replicas[asked ?? Alive()[0]].Http.GetFromJsonAsync<JsonElement>("/hosts");
            return hosts.EnumerateArray().ToDictionary(host => host.GetProperty("name").GetString()!,
                host => host.GetProperty("state").GetString() == "connected" ? host.GetProperty("driver").GetString() : null);
        }
        catch (HttpRequestException)
        {
            return new Dictionary<string, string?>();
        }
    }

    /// <summary>The index of the replica that drives a host.</summary>
    public async Task<int> DriverOfAsync(string host)
    {
        var driver = 0;
        await Shell.WaitForAsync($"{host} to be driven", async () => (driver = _replicas.FindIndex(replica => !replica.HasExited)) >= 0
            && (await DriversAsync()).GetValueOrDefault(host) is { } name && (driver = name[0] - 'a') >= 0);
        return driver;
    }

    /// <summary>Puts a daemon's monitor into a host's folder, and waits until the replicas know it.</summary>
    public async Task AdoptAsync(TestDomain domain, string host)
    {
        domain.LinkInto(FolderOf(host));
        await Shell.WaitForAsync($"domain {domain.Name} to be known. The logs: {LogText}", async () =>
        {
            using var answer = await _replicas[Alive()[0]].Http.GetAsync(ServiceProcess.DiskUrl(domain));
            return answer.IsSuccessStatusCode;
        });
    }

    /// <summary>Starts a daemon on a host.</summary>
    public async Task<TestDomain> StartDomainAsync(string host, long size = 16 << 20)
    {
        var domain = await TestDomain.StartAsync(size: size, middle: false, kind: DomainKind.StorageDaemon);
        await AdoptAsync(domain, host);
        return domain;
    }

    public string FolderOf(string host) => Path.Combine(_folder, host);

    public string LogText => string.Join("\n\n", _replicas.Select((replica, i) => $"{NameOf(i)}:\n{replica.LogText}"));

    public static string NameOf(int replica) => ((char)('a' + replica)).ToString();

    public async ValueTask DisposeAsync()
    {
        foreach (var replica in _replicas)
            await replica.DisposeAsync();
        await Redis.DisposeAsync();
        await Postgres.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private List<int> Alive() => [.. Enumerable.Range(0, _replicas.Count).Where(i => !_replicas[i].HasExited)];

    private Dictionary<string, string> SettingsOf(string name)
    {
        var settings = PostgresServer.Settings(Database);
        settings["StreamService__Redis"] = Redis.ConnectionString;
        settings["StreamService__Fleet__Name"] = name;
        foreach (var (i, host) in Hosts.Index())
        {
            settings[string.Create(CultureInfo.InvariantCulture, $"StreamService__Hosts__{i}__Name")] = host;
            settings[string.Create(CultureInfo.InvariantCulture, $"StreamService__Hosts__{i}__Uri")] = $"qmp+unix://{FolderOf(host)}/*.sock";
        }
        return settings;
    }
}
