using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Api;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>
/// Three replicas on PostgreSQL and Redis. First their end: SIGKILL to one of them at random, again and again, while 50 domains of two
/// libvirt hosts are streamed. Then their load: what live streams cost, from few to many, with ten thousand on record.
/// </summary>
internal static class FleetBenchmark
{
    private const int Domains = 50, OnRecord = 10_000;

    private static readonly string[] Names = ["near1", "near2", "far"];

    public static async Task<bool> RunAsync(BenchOptions options)
    {
        var good = options.What == "fleet-load" || await KillAsync(options);
        await LoadAsync(options);
        return good;
    }

    private static async Task<bool> KillAsync(BenchOptions options)
    {
        await using var hosts = await TwoHosts.StartAsync();
        await using var postgres = await PostgresServer.StartAsync();
        await using var redis = await RedisServer.StartAsync();
        var database = await postgres.CreateDatabaseAsync();
        var replicas = new List<ServiceProcess>();
        var domains = new List<(int Host, string Name)>();
        try
        {
            foreach (var (i, name) in Names.Index())
                replicas.Add(await StartReplicaAsync(hosts, postgres, redis, database, name, host: i == 1 ? 2 : 1, port: 5081 + i));
            for (var i = 0; i < Domains; i++)
                domains.Add(await StartDomainAsync(hosts, host: 1 + i % 2, number: i, options.Size));
            return await KillAtRandomAsync(hosts, replicas, domains, options);
        }
        finally
        {
            foreach (var replica in replicas)
                await replica.DisposeAsync();
            foreach (var (_, name) in domains)
                await hosts.RemoveAsync(name);
        }
    }

    private static async Task<bool> KillAtRandomAsync(TwoHosts hosts, List<ServiceProcess> replicas, List<(int Host, string Name)> domains, BenchOptions options)
    {
        var random = new Random(20261130);
        var alive = new HashSet<int> { 0, 1, 2 };
        await using var hub = await HubClient.ConnectAsync(replicas[2]);
        await hub.SubscribeAsync(new { });
        foreach (var (_, name) in domains)
            await replicas[random.Next(3)].StartStreamAsync(Url(name), new { mode = "full", engine = "pipelined", bandwidth = options.Paces[0] });
        var table = new MarkdownTable("round", "killed", "its hosts", "taken over after, s");
        for (var round = 1; round <= options.Rounds; round++)
        {
            // The one that the hub's client is at is spared: it is who sees all.
            var victim = random.Next(2);
            var asked = replicas[2];
            var mine = (await DriversAsync(asked)).Where(host => host.Value == Names[victim]).Select(host => host.Key).ToList();
            await replicas[victim].KillAsync();
            var killed = TimeProvider.System.GetTimestamp();
            await Shell.WaitForAsync("its hosts to be taken over", async () => (await DriversAsync(asked)) is var drivers
                && mine.All(host => drivers.GetValueOrDefault(host) is { } driver && driver != Names[victim]), TimeSpan.FromMinutes(1));
            table.Add($"{round}", Names[victim], mine.Count == 0 ? "-" : string.Join(", ", mine), mine.Count == 0 ? "-" : Text(TimeProvider.System.GetElapsedTime(killed).TotalSeconds, "0.0"));
            await Task.Delay(TimeSpan.FromSeconds(random.Next(1, 4)));
            await replicas[victim].StartAgainAsync();
            await Shell.WaitForAsync("it to have its host again", async () => (await DriversAsync(asked)).GetValueOrDefault($"h{victim + 1}") == Names[victim], TimeSpan.FromMinutes(1));
        }
        foreach (var (_, name) in domains)
            await replicas[2].HurryAsync(Url(name));
        foreach (var (_, name) in domains)
            await replicas[2].WaitForStateAsync(Url(name), "completed", TimeSpan.FromMinutes(10));
        table.Print();

        int once = 0, told = 0, equal = 0;
        foreach (var (host, name) in domains)
        {
            var streams = (await replicas[2].Http.GetFromJsonAsync<JsonElement>($"/domains/{name}/streams")).GetProperty("items").EnumerateArray().ToList();
            once += streams is [var only] && only.GetProperty("state").GetString() == "completed" ? 1 : 0;
            told += hub.Messages.Where(status => status.GetProperty("domainName").GetString() == name && status.GetProperty("state").GetString() == "completed")
                .DistinctBy(status => status.GetProperty("generation").GetInt64()).Count();
            await hosts.VirshAsync(host, "destroy", name, "--graceful");
            var compared = await hosts.ExecAsync(host, "sh", "-c", $"qemu-img compare -f qcow2 -F raw /srv/{name}.qcow2 /srv/base.raw && qemu-img info --output=json /srv/{name}.qcow2");
            equal += compared.Contains("identical", StringComparison.Ordinal) && !compared.Contains("backing-filename", StringComparison.Ordinal) ? 1 : 0;
        }
        var end = new MarkdownTable("streams", "completed, once on record", "ends told by the hub", "disks equal to the base, and independent");
        end.Add($"{domains.Count}", $"{once}", $"{told}", $"{equal}");
        end.Print();
        return (once, told, equal) == (domains.Count, domains.Count, domains.Count);
    }

    private static async Task LoadAsync(BenchOptions options)
    {
        await using var fleet = await ReplicaFleet.StartAsync(replicas: 3, hosts: 9, "shared_preload_libraries=pg_stat_statements", "max_connections=200");
        await PostgresServer.ExecuteAsync(fleet.Database, "CREATE EXTENSION pg_stat_statements");
        var daemons = new List<StorageDaemonProcess>();
        var folder = Directory.CreateTempSubdirectory("ssf-").FullName;
        try
        {
            var image = Path.Combine(folder, "base.raw");
            await NumberedSectors.WriteAsync(image, 32 << 20, salt: 1, (0, 32 << 20));
            for (var i = 0; i < options.Count; i++)
                daemons.Add(await StorageDaemonProcess.StartAsync(folder, fleet.FolderOf(fleet.Hosts[i % fleet.Hosts.Count]), image, $"d{i}", 32 << 20));
            await MeasureLoadAsync(fleet, daemons, options);
        }
        finally
        {
            foreach (var daemon in daemons)
                await daemon.DisposeAsync();
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task MeasureLoadAsync(ReplicaFleet fleet, List<StorageDaemonProcess> daemons, BenchOptions options)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromMinutes(5) };
        await Shell.WaitForAsync("all daemons to be known", async () =>
            (await http.GetFromJsonAsync<JsonElement>(new Uri(fleet.Replicas[0].Address, "/domains?limit=1000"))).GetProperty("items").EnumerateArray()
                .Count(domain => domain.GetProperty("state").GetString() == "running") >= daemons.Count, TimeSpan.FromMinutes(3));
        // One that is over, ten thousand times.
        await StartAsync(http, fleet, daemons[0], bandwidth: 0);
        await fleet.Replicas[0].WaitForStateAsync(Url(daemons[0].Name), "completed");
        await PostgresServer.ExecuteAsync(fleet.Database, $"""
            CREATE TEMP TABLE one AS SELECT * FROM "Streams" LIMIT 1;
            UPDATE one SET "Domain" = gen_random_uuid(), "DomainName" = 'past', "IdempotencyKey" = NULL;
            DO $$ BEGIN FOR i IN 1..{OnRecord} LOOP
                UPDATE one SET "StreamId" = gen_random_uuid(), "CreatedAt" = "CreatedAt" - 10000000, "FinishedAt" = "FinishedAt" - 10000000;
                INSERT INTO "Streams" SELECT * FROM one;
            END LOOP; END $$;
            ANALYZE;
            """);
        var replicas = fleet.Replicas.Select(replica => new ProcessFigures(replica.ProcessId)).ToList();
        var table = new MarkdownTable("live streams", "API p50, ms", "p99, ms", "calls/s", "not answered", "database queries/s", "a stream", "commits/s", "replicas' CPU, % of a core", "ms a stream and s", "PostgreSQL's CPU, %", "Redis', %", "replica's RSS, MiB");
        var running = 1;
        foreach (var live in new[] { options.Count / 10, options.Count / 5, options.Count / 2, options.Count })
        {
            for (; running < live; running++)
                await StartAsync(http, fleet, daemons[running], options.Paces[^1]);
            await Task.Delay(TimeSpan.FromSeconds(5));
            var before = (Queries: await CountAsync(fleet, "SELECT sum(calls)::bigint FROM pg_stat_statements"), Commits: await CommitsAsync(fleet),
                Cpu: replicas.Sum(replica => replica.CpuTime.TotalSeconds), Postgres: fleet.Postgres.CpuTime, Redis: new ProcessFigures(fleet.Redis.ProcessId).CpuTime.TotalSeconds);
            var begun = TimeProvider.System.GetTimestamp();
            var (times, failed) = await CallAsync(fleet, daemons.Take(live).Select(daemon => daemon.Name).ToList(), TimeSpan.FromSeconds(20));
            var seconds = TimeProvider.System.GetElapsedTime(begun).TotalSeconds;
            var queries = (await CountAsync(fleet, "SELECT sum(calls)::bigint FROM pg_stat_statements") - before.Queries) / seconds;
            var cpu = (replicas.Sum(replica => replica.CpuTime.TotalSeconds) - before.Cpu) / seconds;
            table.Add($"{live}", Text(times[times.Count / 2], "0.0"), Text(times[(int)(times.Count * 0.99)], "0.0"), Text(times.Count / seconds, "0"), $"{failed}",
                Text(queries, "0"), Text(queries / live, "0.00"), Text((await CommitsAsync(fleet) - before.Commits) / seconds, "0"),
                Text(cpu * 100, "0"), Text(cpu * 1000 / live, "0.00"), Text((fleet.Postgres.CpuTime - before.Postgres).TotalSeconds / seconds * 100, "0"),
                Text((new ProcessFigures(fleet.Redis.ProcessId).CpuTime.TotalSeconds - before.Redis) / seconds * 100, "0"),
                Text(replicas.Max(replica => replica.Memory) / (double)(1 << 20), "0"));
        }
        table.Print();
    }

    /// <summary>Calls of all kinds to all replicas, twenty a second; how long each took, in milliseconds, the shortest first.</summary>
    private static async Task<(List<double> Times, int Failed)> CallAsync(ReplicaFleet fleet, List<string> names, TimeSpan span)
    {
        using var http = new HttpClient();
        var random = new Random(1);
        var times = new ConcurrentBag<double>();
        var failed = 0;
        var calls = new List<Task>();
        var begun = TimeProvider.System.GetTimestamp();
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (TimeProvider.System.GetElapsedTime(begun) < span && await timer.WaitForNextTickAsync())
        {
            var disk = Url(names[random.Next(names.Count)]);
            var path = random.Next(10) switch
            {
                0 => "/streams?limit=100",
                1 => "/hosts",
                2 => disk,
                _ => $"{disk}/status",
            };
            calls.Add(AskAsync(new Uri(fleet.Replicas[random.Next(3)].Address, path)));
        }
        await Task.WhenAll(calls);
        return ([.. times.Order()], failed);

        async Task AskAsync(Uri address)
        {
            var asked = TimeProvider.System.GetTimestamp();
            using var answer = await http.GetAsync(address);
            if (!answer.IsSuccessStatusCode)
                Interlocked.Increment(ref failed);
            times.Add(TimeProvider.System.GetElapsedTime(asked).TotalMilliseconds);
        }
    }

    private static async Task StartAsync(HttpClient http, ReplicaFleet fleet, StorageDaemonProcess daemon, long bandwidth)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(fleet.Replicas[0].Address, $"{Url(daemon.Name)}/stream"), new { mode = "full", policy = "fixed", bandwidth });
        if (answer.StatusCode != HttpStatusCode.Accepted)
            throw new InvalidOperationException(await answer.Content.ReadAsStringAsync());
    }

    private static async Task<long> CountAsync(ReplicaFleet fleet, string sql) => Convert.ToInt64(await PostgresServer.QueryAsync(fleet.Database, sql), CultureInfo.InvariantCulture);

    private static Task<long> CommitsAsync(ReplicaFleet fleet) => CountAsync(fleet, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()");

    private static async Task<IReadOnlyDictionary<string, string?>> DriversAsync(ServiceProcess asked) =>
        (await asked.Http.GetFromJsonAsync<JsonElement>("/hosts")).EnumerateArray().ToDictionary(host => host.GetProperty("name").GetString()!,
            host => host.GetProperty("state").GetString() == "connected" ? host.GetProperty("driver").GetString() : null);

    private static Task<ServiceProcess> StartReplicaAsync(TwoHosts hosts, PostgresServer postgres, RedisServer redis, string database, string name, int host, int port)
    {
        var settings = PostgresServer.Settings(postgres.SocketConnectionString(database));
        settings["StreamService__Redis"] = redis.SocketConnectionString;
        settings["StreamService__Fleet__Name"] = name;
        settings["StreamService__Hosts__0__Uri"] = name == "near1" ? "qemu:///system" : "qemu+tcp://h1/system";
        settings["StreamService__Hosts__1__Uri"] = name == "near2" ? "qemu:///system" : "qemu+tcp://h2/system";
        settings["StreamService__Hosts__0__MigrationAddress"] = "10.77.0.1";
        settings["StreamService__Hosts__1__MigrationAddress"] = "10.77.0.2";
        return ServiceProcess.StartAsync(settings, hosts, guarded: true, alsoAt: string.Create(CultureInfo.InvariantCulture, $"http://10.77.0.{host}:{port}"), host: host);
    }

    private static async Task<(int Host, string Name)> StartDomainAsync(TwoHosts hosts, int host, int number, long size)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"fleet-{number}");
        var image = Path.Combine(hosts.Srv(host), "base.raw");
        if (!File.Exists(image))
            await NumberedSectors.WriteAsync(image, size, salt: 1, (0, size));
        await hosts.ExecAsync(host, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "/srv/base.raw", "-F", "raw", $"/srv/{name}.qcow2");
        await hosts.DefineAsync(host, name, TestDomain.Definition(name, $"/srv/{name}.qcow2", "qcow2").ToString());
        await hosts.VirshAsync(host, "start", name);
        return (host, name);
    }

    private static string Url(string domain) => $"/domains/{domain}/disks/vda";

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
