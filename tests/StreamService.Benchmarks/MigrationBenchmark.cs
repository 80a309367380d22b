using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.RegularExpressions;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>
/// A guest that writes records to its disk all the time goes from one host to another: with libvirt's own storage migration, which
/// copies the disks first, and with ours, which streams them afterwards. Its pause is seen from outside, by its console.
/// </summary>
internal static partial class MigrationBenchmark
{
    /// <summary>How long the guest is watched at rest before it goes, and once it is there.</summary>
    private static readonly TimeSpan AtRest = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>How one migration went. Times in seconds.</summary>
    /// <param name="Arrived">From the order to the first record at the destination.</param>
    /// <param name="Pause">The longest time between two records, from the order on.</param>
    /// <param name="RestPause">The longest before the order: what this machine does to a guest that nobody moves.</param>
    /// <param name="Downtime">How long libvirt says that the guest stood still.</param>
    /// <param name="Independent">From the order until nothing depends on the source.</param>
    /// <param name="BytesBefore">Over the link until the first record at the destination.</param>
    /// <param name="Bytes">Over the link in all.</param>
    private sealed record Outcome(double Arrived, double Pause, double RestPause, double Downtime, double Independent, long BytesBefore, long Bytes);

    public static async Task RunAsync(BenchOptions options)
    {
        await using var hosts = await TwoHosts.StartAsync();
        var image = Path.Combine(hosts.Folder, "guest");
        var size = options.Size >> 20;
        await Shell.RunAsync(Path.Combine(Repository.Root, "deploy", "demo-guest"), "build", image, "--size", Number(size), "--data", Number(size / 2));
        await using var service = await ServiceProcess.StartAsync(hosts: hosts);
        var ways = new (string Name, Func<string, Task> MoveAsync)[]
        {
            ("libvirt, --copy-storage-all", name => CopyAsync(hosts, name, size)),
            ("POST /domains/{id}/migrations", name => MigrateAsync(service, name)),
        };
        Console.Error.WriteLine("warming up");
        await RunAsync(hosts, image, "bench-warm", ways[1].MoveAsync);
        foreach (var cap in options.Paces)
        {
            // Both ways have no more of the link than this.
            await hosts.ExecAsync(1, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", $"{Number(cap * 8 / 1000)}kbit", "burst", "1mb", "latency", "50ms");
            var outcomes = ways.ToDictionary(way => way.Name, _ => new List<Outcome>());
            for (var round = 1; round <= options.Rounds; round++)
                foreach (var (name, move) in round % 2 == 0 ? ways.Reverse() : ways)
                {
                    var outcome = await RunAsync(hosts, image, $"bench-{round}-{name[0]}", move);
                    outcomes[name].Add(outcome);
                    Console.Error.WriteLine($"round {round}: {name}: {outcome}");
                }
            Print($"a link of {Text(cap / 1048576.0, "0")} MiB/s", ways.Select(way => way.Name), outcomes);
            Console.WriteLine();
        }
    }

    private static void Print(string title, IEnumerable<string> ways, Dictionary<string, List<Outcome>> outcomes)
    {
        var table = new MarkdownTable(title, "at the destination after, s", "ratio", "longest pause, ms", "ratio", "at rest, ms", "libvirt's downtime, ms", "independent after, s", "over the link until it is there, MiB", "in all, MiB");
        var (arrived, pause) = (0.0, 0.0);
        foreach (var way in ways)
        {
            double Of(Func<Outcome, double> value) => Sample.Median(outcomes[way].Select(value));
            (arrived, pause) = arrived == 0 ? (Of(run => run.Arrived), Of(run => run.Pause)) : (arrived, pause);
            table.Add(way, Text(Of(run => run.Arrived), "0.00"), Text(arrived / Of(run => run.Arrived), "0.0"),
                Text(Of(run => run.Pause) * 1000, "0"), Text(pause / Of(run => run.Pause), "0.00"), Text(Of(run => run.RestPause) * 1000, "0"), Text(Of(run => run.Downtime) * 1000, "0"),
                Text(Of(run => run.Independent), "0.0"), Text(Of(run => run.BytesBefore / 1048576.0), "0"), Text(Of(run => run.Bytes / 1048576.0), "0"));
        }
        table.Print();
    }

    private static async Task<Outcome> RunAsync(TwoHosts hosts, string image, string name, Func<string, Task> moveAsync)
    {
        var disk = $"/srv/{name}.qcow2";
        await Shell.RunAsync("qemu-img", "convert", "-O", "qcow2", Path.Combine(image, "base.raw"), Path.Combine(hosts.Srv(1), $"{name}.qcow2"));
        try
        {
            await hosts.DefineAsync(1, name, await hosts.ExecAsync(1, Path.Combine(Repository.Root, "deploy", "demo-guest"),
                "domain-xml", image, name, disk, $"/srv/{name}.log", "--memory", "128", "--pace", "fast"));
            await hosts.VirshAsync(1, "start", name);
            await using var watch = new RecordWatch(Path.Combine(hosts.Srv(1), $"{name}.log"), Path.Combine(hosts.Srv(2), $"{name}.log"));
            await watch.WaitForAsync(host: 1, Patience);
            await Task.Delay(AtRest);

            var bytes = await ReceivedAsync(hosts);
            var begun = Stopwatch.GetTimestamp();
            var moving = moveAsync(name);
            await Task.WhenAny(watch.WaitForAsync(host: 2, Patience), FailedAsync(moving));
            if (moving.IsFaulted)
                await moving;
            var before = await ReceivedAsync(hosts) - bytes;
            var downtime = Downtime().Match(await hosts.VirshAsync(2, "domjobinfo", name, "--completed"));
            await moving;
            var independent = Stopwatch.GetElapsedTime(begun);
            var all = await ReceivedAsync(hosts) - bytes;
            await Task.Delay(AtRest);

            await hosts.VirshAsync(2, "destroy", name);
            var records = await watch.EndAsync();
            await CheckAsync(hosts, name, records);
            var arrived = records.First(record => record.Host == 2).At;
            return new Outcome(
                Stopwatch.GetElapsedTime(begun, arrived).TotalSeconds,
                LongestGap(records, from: begun),
                LongestGap([.. records.Where(record => record.At < begun)], from: 0),
                downtime.Success ? double.Parse(downtime.Groups[1].ValueSpan, CultureInfo.InvariantCulture) / 1000 : double.NaN,
                Math.Max(independent.TotalSeconds, Stopwatch.GetElapsedTime(begun, arrived).TotalSeconds),
                before,
                all);
        }
        finally
        {
            await hosts.RemoveAsync(name);
        }
    }

    /// <summary>libvirt's own way: the destination's disk is made beforehand, as it wants it.</summary>
    private static async Task CopyAsync(TwoHosts hosts, string name, long size)
    {
        await hosts.ExecAsync(2, "qemu-img", "create", "-q", "-f", "qcow2", $"/srv/{name}.qcow2", $"{Number(size)}M");
        await hosts.VirshAsync(1, "migrate", "--live", "--p2p", "--persistent", "--undefinesource", "--copy-storage-all", "--migrate-disks", "vda", name, TwoHosts.UriOf(2));
    }

    private static async Task MigrateAsync(ServiceProcess service, string name)
    {
        using var http = new HttpClient(service.Transport()) { BaseAddress = service.Address, Timeout = Patience };
        using var answer = await http.PostAsJsonAsync($"/domains/{name}/migrations", new { destination = "h2", stream = new { mode = "full", policy = "fixed" } });
        var migration = await answer.EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonElement>();
        using var deadline = new CancellationTokenSource(Patience);
        while (migration.GetProperty("state").GetString() is not ("completed" or "failed" or "cancelled"))
            migration = await http.GetFromJsonAsync<JsonElement>(
                $"/migrations/{migration.GetProperty("migrationId").GetString()}?waitForGeneration={migration.GetProperty("generation").GetInt64() + 1}", deadline.Token);
        if (migration.GetProperty("state").GetString() != "completed")
            throw new InvalidOperationException($"The migration did not go well: {migration}");
    }

    /// <summary>Every record was told once, in order, and is on the destination's disk.</summary>
    private static async Task CheckAsync(TwoHosts hosts, string name, IReadOnlyList<Record> records)
    {
        if (!records.Select(record => record.Number).SequenceEqual(Enumerable.Range(1, records.Count)))
            throw new InvalidOperationException($"Records of {name} were lost or repeated: {string.Join(' ', records.Select(record => record.Number))}");
        var raw = Path.Combine(hosts.Srv(2), $"{name}.raw");
        await Shell.RunAsync("qemu-img", "convert", "-O", "raw", Path.Combine(hosts.Srv(2), $"{name}.qcow2"), raw);
        await Shell.RunAsync("sh", "-c", $"e2fsck -fy '{raw}' >/dev/null 2>&1; test $? -le 1");
        var written = (await Shell.RunAsync("debugfs", "-R", "cat /records", raw)).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;
        if (written - records.Count is not (0 or 1))
            throw new InvalidOperationException($"{name} told {records.Count} records, and its disk holds {written}.");
    }

    private static double LongestGap(IReadOnlyList<Record> records, long from) =>
        records.Zip(records.Skip(1)).Where(pair => pair.Second.At >= from).Max(pair => Stopwatch.GetElapsedTime(pair.First.At, pair.Second.At).TotalSeconds);

    /// <summary>Bytes that the destination has received over the link between the hosts.</summary>
    private static async Task<long> ReceivedAsync(TwoHosts hosts) =>
        JsonDocument.Parse(await hosts.ExecAsync(2, "ip", "-statistics", "-json", "link", "show", "eth0")).RootElement[0].GetProperty("stats64").GetProperty("rx").GetProperty("bytes").GetInt64();

    /// <summary>Completes only if the task fails.</summary>
    private static async Task FailedAsync(Task task)
    {
        try
        {
            await task;
        }
        catch (Exception)
        {
            return;
        }
        await Task.Delay(Timeout.InfiniteTimeSpan);
    }

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^Total downtime:\s+(\d+)", RegexOptions.Multiline)]
    private static partial Regex Downtime();

    /// <summary>A record, and when the console told it.</summary>
    private sealed record Record(int Host, int Number, long At);

    /// <summary>Watches the consoles of both hosts, a thousand times a second.</summary>
    private sealed class RecordWatch : IAsyncDisposable
    {
        private const string Mark = "demo-guest: record ";

        private readonly string[] _consoles;
        private readonly List<Record> _records = [];
        private readonly Task _running;
        private volatile bool _ended;

        public RecordWatch(params string[] consoles)
        {
            _consoles = consoles;
            _running = Task.Run(RunAsync);
        }

        public Task WaitForAsync(int host, TimeSpan within) => Shell.WaitForAsync($"a record on h{host}", () =>
        {
            lock (_records)
                return Task.FromResult(_records.Any(record => record.Host == host));
        }, within);

        public async Task<IReadOnlyList<Record>> EndAsync()
        {
            // What was written last is read first.
            await Task.Delay(100);
            await DisposeAsync();
            return _records;
        }

        public async ValueTask DisposeAsync()
        {
            _ended = true;
            await _running;
        }

        private async Task RunAsync()
        {
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(1));
            var files = new FileStream?[_consoles.Length];
            // A line may begin on the one host and end on the other.
            var line = new System.Text.StringBuilder();
            var buffer = new byte[4096];
            while (!_ended && await timer.WaitForNextTickAsync())
                for (var i = 0; i < files.Length; i++)
                {
                    files[i] ??= File.Exists(_consoles[i]) ? new FileStream(_consoles[i], FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete) : null;
                    for (int read; files[i] is { } file && (read = file.Read(buffer)) > 0;)
                        Take(i + 1, buffer.AsSpan(0, read), line);
                }
            foreach (var file in files)
                file?.Dispose();
        }

        private void Take(int host, ReadOnlySpan<byte> bytes, System.Text.StringBuilder line)
        {
            var now = Stopwatch.GetTimestamp();
            foreach (var character in bytes)
            {
                if (character != '\n')
                {
                    line.Append((char)character);
                    continue;
                }
                var text = line.ToString().Trim();
                line.Clear();
                if (text.StartsWith(Mark, StringComparison.Ordinal) && int.TryParse(text[Mark.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                    lock (_records)
                        _records.Add(new Record(host, number, now));
            }
        }
    }
}
