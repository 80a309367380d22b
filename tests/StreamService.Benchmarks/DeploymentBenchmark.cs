using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>
/// A guest that boots from an image behind nbdkit, with a delay on each read and a cap on its rate: copied first and booted then,
/// as is usual; deployed without a stream, with a sequential one, with one that brings in first what the profile names, and from a
/// seed that holds that already. Then many at once, without seeds and with one.
/// </summary>
internal static class DeploymentBenchmark
{
    private const string Ready = "demo-guest: ready";

    /// <summary>A read of the guest that takes longer has waited for the source, whose own delay is 5 ms.</summary>
    private static readonly TimeSpan Waited = TimeSpan.FromMilliseconds(4);

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>Characters of a row of the picture, and the time between two rows.</summary>
    private const int PictureWidth = 64;
    private static readonly TimeSpan PictureStep = TimeSpan.FromSeconds(3);

    /// <summary>How one kind of deployment fared.</summary>
    private sealed record Outcome(double Running, double Ready, double? Independent)
    {
        /// <summary>Seconds until all of the profile was local.</summary>
        public double? BootReady { get; init; }

        /// <summary>Of the guest until it was ready: reads in all, those that waited for the source, and seconds that all took.</summary>
        public (long Reads, long Waited, double Seconds) Guest { get; init; }

        public IReadOnlyList<string> Picture { get; init; } = [];
    }


    public static async Task RunAsync(BenchOptions options)
    {
        await using var site = await Site.StartAsync(options);
        // The guest works on what is not local yet for as long as it takes: a stream that gave way to it would take as long. So the
        // streams hold four fifths of the source's cap, and leave the rest to the guest.
        var bandwidth = options.Paces[0] / 5 * 4;
        var sequential = new { stream = new { mode = "full", policy = "fixed", bandwidth } };
        var hotFirst = new { stream = new { mode = "full", policy = "fixed", bandwidth, order = "hotFirst" } };
        Console.Error.WriteLine("warming up, and learning the profile");
        // Its stream is held back until what the guest reads by itself is learned.
        await site.DeployAsync(sequential);
        await site.WaitForProfileAsync();

        var kinds = new (string Name, bool Seeds, Func<Task<Outcome>> Run)[]
        {
            ("copied with qemu-img convert, then booted", false, site.CopyAsync),
            ("deployed, no stream, no copy-on-read", false, () => site.DeployAsync(new { copyOnRead = false })),
            ("deployed, no stream", false, () => site.DeployAsync(new { })),
            ("deployed, sequential", false, () => site.DeployAsync(sequential)),
            ("deployed, hotFirst", false, () => site.DeployAsync(hotFirst)),
            ("deployed, hotFirst, from a seed", true, () => site.DeployAsync(hotFirst)),
        };
        var outcomes = kinds.ToDictionary(kind => kind.Name, _ => new List<Outcome>());
        for (var round = 1; round <= options.Rounds; round++)
            foreach (var (name, seeds, run) in kinds)
            {
                await site.UseSeedsAsync(seeds);
                var outcome = await run();
                outcomes[name].Add(outcome);
                Console.Error.WriteLine($"round {round}: {name}: {outcome}");
            }
        Print([.. kinds.Select(kind => kind.Name)], outcomes);

        Console.WriteLine();
        var crowd = new MarkdownTable($"{options.Count} at once, hotFirst", "all running, s", "the profile local for all after, s", "read from the source until then, MiB", "for each, MiB", "all ready, s");
        foreach (var seeds in new[] { false, true })
        {
            await site.UseSeedsAsync(seeds);
            var (running, local, bytes, ready) = await site.DeployAtOnceAsync(options.Count, hotFirst);
            crowd.Add(seeds ? "with a seed" : "without", Text(running, "0.0"), Text(local, "0.0"), Text(bytes / 1048576.0, "0"), Text(bytes / 1048576.0 / options.Count, "0.0"), Text(ready, "0.0"));
        }
        crowd.Print();
    }

    private static void Print(IReadOnlyList<string> kinds, Dictionary<string, List<Outcome>> outcomes)
    {
        var (copyRunning, copyReady, copyIndependent) = Medians(outcomes[kinds[0]]);
        var times = new MarkdownTable("way", "running, s", "ratio", "ready, s", "ratio", "independent of the image, s", "ratio");
        foreach (var name in kinds)
        {
            var (running, ready, independent) = Medians(outcomes[name]);
            times.Add(name, Text(running, "0.00"), Text(copyRunning / running, "0.0"), Text(ready, "0.0"), Text(copyReady / ready, "0.0"),
                independent is { } end ? Text(end, "0.0") : "-", independent is { } late ? Text(copyIndependent!.Value / late, "0.0") : "-");
        }
        times.Print();
        Console.WriteLine();

        var reads = new MarkdownTable("way", "all of the profile local after, s", "guest reads until ready", "that waited for the source", "their time, s");
        foreach (var name in kinds)
        {
            var runs = outcomes[name];
            reads.Add(name, runs.All(run => run.BootReady is not null) ? Text(Sample.Median(runs.Select(run => run.BootReady!.Value)), "0.0") : "-",
                Text(Sample.Median(runs.Select(run => (double)run.Guest.Reads)), "0"), Text(Sample.Median(runs.Select(run => (double)run.Guest.Waited)), "0"),
                Text(Sample.Median(runs.Select(run => run.Guest.Seconds)), "0.0"));
        }
        reads.Print();
        foreach (var name in kinds.TakeLast(3))
        {
            Console.WriteLine($"\n{name}: the disk from its first byte to its last, a row each {PictureStep.TotalSeconds:0} s");
            foreach (var row in outcomes[name][^1].Picture)
                Console.WriteLine(row);
        }
    }

    private static (double Running, double Ready, double? Independent) Medians(List<Outcome> runs) => (
        Sample.Median(runs.Select(run => run.Running)),
        Sample.Median(runs.Select(run => run.Ready)),
        runs.All(run => run.Independent is not null) ? Sample.Median(runs.Select(run => run.Independent!.Value)) : null);

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);

    /// <summary>The guest, its image's server, and the service.</summary>
    private sealed class Site : IAsyncDisposable
    {
        private readonly string _folder;
        private readonly NbdkitServer _server;
        private readonly Dictionary<string, string> _settings;
        private ServiceProcess _service = null!;
        private HttpClient _http = null!;
        private int _count;

        private Site(string folder)
        {
            _folder = folder;
            _server = new NbdkitServer(folder, Path.Combine(folder, "guest", "base.raw"));
            _settings = new()
            {
                ["StreamService__ImageRepositories__0__Name"] = "central",
                ["StreamService__ImageRepositories__0__Uri"] = _server.Uri,
                ["StreamService__ImageRepositories__0__Immutable"] = "true",
                ["StreamService__Deployment__OverlayFolder"] = Overlays,
                ["StreamService__Deployment__DomainXmlFile"] = Path.Combine(folder, "template.xml"),
                ["StreamService__Deployment__LearnDeployments"] = "1",
                [Seeds] = "false",
            };
        }

        private const string Seeds = "StreamService__Deployment__Seeds";

        private string Overlays => Path.Combine(_folder, "overlays");

        private string Log => Path.Combine(_folder, "requests.log");

        private string Consoles => Path.Combine(_folder, "consoles");

        public static async Task<Site> StartAsync(BenchOptions options)
        {
            var folder = Path.Combine(Environment.GetEnvironmentVariable("TMPDIR") ?? "/var/tmp", $"streamservice-bench-{Environment.ProcessId}");
            var site = new Site(folder);
            foreach (var path in new[] { folder, site.Consoles })
            {
                Directory.CreateDirectory(path);
                // QEMU runs as another user, who must get through to the images.
                File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
            }
            var script = Path.Combine(Repository.Root, "deploy", "demo-guest");
            var mib = options.Size >> 20;
            Console.Error.WriteLine(await Shell.RunAsync(script, "build", Path.Combine(folder, "guest"), "--size", $"{mib}", "--data", $"{mib * 3 / 4}"));
            await File.WriteAllTextAsync(Path.Combine(folder, "template.xml"), await Shell.RunAsync(script, "template", Path.Combine(folder, "guest"), site.Consoles));
            // The cap is of all connections together; nbdkit counts in bits. The log tells when a request arrives.
            await site._server.StartAsync("--filter=log", $"logfile={site.Log}", "--filter=rate", $"rate={options.Paces[0] * 8}", "--filter=delay", $"rdelay={options.Sources[0]}ms");
            site._service = await ServiceProcess.StartAsync(site._settings);
            site._http = new HttpClient { BaseAddress = site._service.Address, Timeout = Patience };
            return site;
        }

        public Task WaitForProfileAsync() => Shell.WaitForAsync("the profile", async () =>
        {
            using var answer = await _http.GetAsync("/images/central/default/profile");
            return answer.StatusCode == HttpStatusCode.OK;
        }, TimeSpan.FromMinutes(1));

        /// <summary>Starts the service anew where that is a change; with seeds, returns when there is one.</summary>
        public async Task UseSeedsAsync(bool seeds)
        {
            var setting = seeds ? "true" : "false";
            if (_settings[Seeds] == setting)
                return;
            _settings[Seeds] = setting;
            await _service.StopAsync();
            await _service.StartAgainAsync();
            if (!seeds)
                return;
            // The first deployment has it made.
            await DeployAsync(new { });
            await Shell.WaitForAsync("the seed", () => Task.FromResult(Directory.GetFiles(Path.Combine(Overlays, ".seeds"), "*.qcow2").Length > 0), Patience);
        }

        /// <summary>As many as that are asked for at once; returns when the last is ready.</summary>
        public async Task<(double Running, double Local, long SourceBytes, double Ready)> DeployAtOnceAsync(int count, object more)
        {
            var names = Enumerable.Range(0, count).Select(_ => NewName()).ToList();
            var begun = TimeProvider.System.GetUtcNow();
            var clock = Stopwatch.StartNew();
            await Task.WhenAll(names.Select(async name =>
            {
                using var answer = await _http.PostAsJsonAsync("/domains", Request(name, more));
                if (!answer.IsSuccessStatusCode)
                    throw new InvalidOperationException(await answer.Content.ReadAsStringAsync() + _service.LogText);
            }));
            var running = clock.Elapsed.TotalSeconds;
            var ready = Task.WhenAll(names.Select(WaitForReadyAsync)).ContinueWith(_ => clock.Elapsed.TotalSeconds, TaskScheduler.Default);
            var local = (await Task.WhenAll(names.Select(WaitForProfileAsync))).Max();
            await ready;
            var bytes = SourceRequest.Read(Log, begun).Where(request => request.At <= local).Sum(request => request.Bytes);
            foreach (var name in names)
                using (await _http.DeleteAsync($"/domains/{name}?storage=true"))
                    Console.Error.WriteLine($"{name} is gone");
            return (running, (local - begun).TotalSeconds, bytes, await ready);
        }

        /// <summary>When all that the profile names was local.</summary>
        private async Task<DateTimeOffset> WaitForProfileAsync(string name)
        {
            for (long generation = 0; ;)
            {
                var status = await _http.GetFromJsonAsync<JsonElement>($"/domains/{name}/disks/vda/status?waitForGeneration={generation + 1}&timeoutSeconds=60");
                generation = status.GetProperty("generation").GetInt64();
                if (status.GetProperty("bootReadyAt") is { ValueKind: JsonValueKind.String } local)
                    return local.GetDateTimeOffset();
            }
        }

        /// <summary>The whole image first, by the usual means, then a domain on it.</summary>
        public async Task<Outcome> CopyAsync()
        {
            var name = NewName();
            var disk = Path.Combine(_folder, $"{name}.qcow2");
            var clock = Stopwatch.StartNew();
            await Shell.RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", _server.Uri, disk);
            var independent = clock.Elapsed.TotalSeconds;
            var console = ConsoleOf(name);
            await File.WriteAllTextAsync(console, "");
            var xml = Path.Combine(_folder, $"{name}.xml");
            await File.WriteAllTextAsync(xml, await Shell.RunAsync(Path.Combine(Repository.Root, "deploy", "demo-guest"), "domain-xml", Path.Combine(_folder, "guest"), name, disk, console));
            await TestDomain.VirshAsync("create", xml);
            try
            {
                var running = clock.Elapsed.TotalSeconds;
                await CountWaitsAsync(name);
                await WaitForReadyAsync(name);
                return new Outcome(running, clock.Elapsed.TotalSeconds, independent) { Guest = await GuestReadsAsync(name) };
            }
            finally
            {
                await TestDomain.VirshAsync("destroy", name);
                File.Delete(disk);
            }
        }

        public async Task<Outcome> DeployAsync(object more)
        {
            var name = NewName();
            var request = Request(name, more);
            var clock = Stopwatch.StartNew();
            var posted = TimeProvider.System.GetUtcNow();
            using var answer = await _http.PostAsJsonAsync("/domains", request);
            var running = clock.Elapsed.TotalSeconds;
            if (!answer.IsSuccessStatusCode)
                throw new InvalidOperationException(await answer.Content.ReadAsStringAsync() + _service.LogText);
            await CountWaitsAsync(name);
            using var drawn = new CancellationTokenSource();
            var drawing = DrawAsync(name, clock, drawn.Token);
            await WaitForReadyAsync(name);
            var ready = clock.Elapsed.TotalSeconds;
            var guest = await GuestReadsAsync(name);
            var end = request.ContainsKey("stream") ? await WaitForEndAsync(name) : (JsonElement?)null;
            await drawn.CancelAsync();
            using (await _http.DeleteAsync($"/domains/{name}?storage=true"))
                return new Outcome(running, ready, end is { } status ? Since(status.GetProperty("finishedAt")) : null)
                {
                    BootReady = end?.GetProperty("bootReadyAt") is { ValueKind: JsonValueKind.String } local ? Since(local) : null,
                    Guest = guest,
                    Picture = await drawing,
                };

            double Since(JsonElement moment) => (moment.GetDateTimeOffset() - posted).TotalSeconds;
        }

        public async ValueTask DisposeAsync()
        {
            _http?.Dispose();
            if (_service is not null)
                await _service.DisposeAsync();
            await _server.DisposeAsync();
            Directory.Delete(_folder, recursive: true);
        }

        private static Dictionary<string, object?> Request(string name, object more)
        {
            var request = new Dictionary<string, object?>
            {
                ["name"] = name,
                ["host"] = "local",
                ["image"] = "central/default",
                ["format"] = "qcow2",
                ["memoryMiB"] = 256,
                ["vcpus"] = 1,
            };
            foreach (var member in JsonSerializer.SerializeToElement(more).EnumerateObject())
                request[member.Name] = member.Value;
            return request;
        }

        private string NewName() => string.Create(CultureInfo.InvariantCulture, $"bench-{Environment.ProcessId}-{++_count}");

        private string ConsoleOf(string name) => Path.Combine(Consoles, $"{name}.log");

        private Task WaitForReadyAsync(string name) => Shell.WaitForAsync($"{name} to be ready", async () =>
            File.Exists(ConsoleOf(name)) && (await File.ReadAllTextAsync(ConsoleOf(name))).Contains(Ready, StringComparison.Ordinal), Patience);

        private async Task<JsonElement> WaitForEndAsync(string name)
        {
            for (long generation = 0; ;)
            {
                var status = await _http.GetFromJsonAsync<JsonElement>($"/domains/{name}/disks/vda/status?waitForGeneration={generation + 1}&timeoutSeconds=60");
                generation = status.GetProperty("generation").GetInt64();
                if (status.GetProperty("state").GetString() == "completed")
                    return status;
                if (status.GetProperty("state").GetString() is "failed" or "cancelled")
                    throw new InvalidOperationException(status.ToString());
            }
        }

        /// <summary>A character for each part of the disk: how much of it is local, in quarters.</summary>
        private async Task<IReadOnlyList<string>> DrawAsync(string name, Stopwatch clock, CancellationToken stop)
        {
            var rows = new List<string>();
            using var timer = new PeriodicTimer(PictureStep);
            try
            {
                do
                {
                    var map = await _http.GetFromJsonAsync<JsonElement>($"/domains/{name}/disks/vda/map?buckets={PictureWidth}", stop);
                    var cells = map.GetProperty("buckets").EnumerateArray().Select(part => " ░▒▓█"[(int)(part.GetDouble() * 4)]);
                    rows.Add($"{Text(clock.Elapsed.TotalSeconds, "0").PadLeft(4)} s |{string.Concat(cells)}|");
                }
                while (await timer.WaitForNextTickAsync(stop));
            }
            catch (OperationCanceledException)
            {
            }
            return rows;
        }

        private static Task<string> MonitorAsync(string name, string command, object arguments) =>
            TestDomain.VirshAsync("qemu-monitor-command", name, JsonSerializer.Serialize(new { execute = command, arguments }));

        /// <summary>From here on QEMU counts the guest's reads apart that took long. The kernel is still unpacking itself.</summary>
        private static async Task CountWaitsAsync(string name) => await MonitorAsync(name, "block-latency-histogram-set", new Dictionary<string, object>
        {
            ["id"] = "/machine/peripheral/virtio-disk0/virtio-backend",
            ["boundaries-read"] = new[] { (long)Waited.TotalNanoseconds },
        });

        private static async Task<(long Reads, long Waited, double Seconds)> GuestReadsAsync(string name)
        {
            var devices = JsonDocument.Parse(await MonitorAsync(name, "query-blockstats", new { })).RootElement.GetProperty("return");
            var stats = devices.EnumerateArray().Single(device => device.GetProperty("qdev").GetString()!.Contains("virtio-disk0", StringComparison.Ordinal)).GetProperty("stats");
            return (stats.GetProperty("rd_operations").GetInt64(), stats.GetProperty("rd_latency_histogram").GetProperty("bins")[1].GetInt64(),
                stats.GetProperty("rd_total_time_ns").GetInt64() / 1e9);
        }
    }
}
