using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using StreamService.Client;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>
/// Many clients of the hub, all of them watching all of a hundred streams, then each one of them: whether each gets every change of state,
/// how soon, and what it costs the service.
/// </summary>
internal static class HubBenchmark
{
    private const int Streams = 100;

    /// <summary>Slow enough for a stream to be at work as long as it is watched; in clusters so small that it gets on all the time.</summary>
    private const long Pace = 64 << 10;

    private const int ClusterSize = 4096;

    /// <summary>One stream changes its state every so often: 10 of a second.</summary>
    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(100);

    private const string Life = "queued running paused running finalizing completed";

    public static async Task RunAsync(BenchOptions options)
    {
        var table = new MarkdownTable("clients", "each watches", "changes of state", "got by all", "p50, ms", "p99, ms", "latest, ms", "progress of a stream every", "p99 of its age, ms",
            "messages a second", "service's CPU, of one core", "its memory, MiB", "clients' CPU", "load of the machine");
        foreach (var all in new[] { true, false })
            for (var round = 0; round < options.Rounds; round++)
                await MeasureAsync(options, all, table);
        table.Print();
    }

    private static async Task MeasureAsync(BenchOptions options, bool all, MarkdownTable table)
    {
        await using var daemons = await StorageDaemons.StartAsync(Streams, options.Size, ClusterSize);
        await using var service = await daemons.StartServiceAsync();
        using var client = new StreamServiceClient(service.Address.ToString());
        await Shell.WaitForAsync("all daemons to be known", async () => await client.ListDomainsAsync().CountAsync() >= Streams, TimeSpan.FromMinutes(2));
        using var clients = StartClients(service, options.Count, all ? [] : daemons.Names);
        if (await clients.StandardOutput.ReadLineAsync() != "ready")
            throw new InvalidOperationException("The clients did not start.");

        var process = new ProcessFigures(service.ProcessId);
        var theirs = new ProcessFigures(clients.Id);
        var (cpu, theirCpu, begun) = (process.CpuTime, theirs.CpuTime, TimeProvider.System.GetTimestamp());
        await LiveAsync(client, daemons.Names);
        var seconds = TimeProvider.System.GetElapsedTime(begun).TotalSeconds;
        cpu = process.CpuTime - cpu;
        theirCpu = theirs.CpuTime - theirCpu;
        var load = (await File.ReadAllTextAsync("/proc/loadavg")).Split(' ')[0];
        clients.StandardInput.Close();
        var seen = JsonSerializer.Deserialize<HubFigures>(await clients.StandardOutput.ReadToEndAsync())!;
        await clients.WaitForExitAsync();

        var lives = seen.Changes.GroupBy(change => change.Stream)
            .Select(stream => string.Join(' ', stream.OrderBy(change => change.Generation).Select(change => change.State.ToString().ToLowerInvariant()))).CountBy(life => life).ToDictionary();
        var whole = lives.GetValueOrDefault(Life);
        if (whole != Streams)
            Console.Error.WriteLine($"lives: {string.Join("; ", lives.Select(life => $"{life.Value} times {life.Key}"))}");
        var latencies = Latencies(seen.Changes, Published(service.LogText)).ToList();
        var watched = all ? (double)options.Count * Streams : options.Count;
        table.Add(
            $"{options.Count}", all ? "all" : "one", $"{seen.Changes.Count}",
            seen.Missing == 0 && seen.Reconnects == 0 && whole == Streams ? "yes" : $"no: {seen.Missing} missing, {seen.Reconnects} reconnects, {whole} whole lives",
            Text(Sample.Median(latencies), "0.0"), Text(Sample.Quantile(latencies, 0.99), "0.0"), Text(latencies.Max(), "0"),
            $"{Text(watched * seconds / seen.ProgressMessages, "0.0")} s", Text(seen.ProgressLatency[1], "0"),
            Text((seen.ProgressMessages + seen.Changes.Sum(change => change.Arrivals.Count)) / seconds, "0"),
            Text(cpu / TimeSpan.FromSeconds(seconds) * 100, "0") + " %", Text(process.PeakMemory / (double)(1 << 20), "0"), Text(theirCpu / TimeSpan.FromSeconds(seconds) * 100, "0") + " %", load);
    }

    /// <summary>When the service handed each change on, in order: it logs that right before. A stream's beginning is no line of its own.</summary>
    private static Dictionary<Guid, List<DateTimeOffset>> Published(string log) => log.Split('\n')
        .Where(line => line.Contains("\"Stream is ", StringComparison.Ordinal))
        .Select(line => JsonDocument.Parse(line).RootElement)
        .GroupBy(line => line.GetProperty("StreamId").GetGuid(), line => line.GetProperty("@t").GetDateTimeOffset())
        .ToDictionary(stream => stream.Key, stream => stream.ToList());

    private static IEnumerable<double> Latencies(IReadOnlyList<SeenChange> changes, Dictionary<Guid, List<DateTimeOffset>> published)
    {
        foreach (var stream in changes.Where(change => change.State != StreamState.Queued).GroupBy(change => change.Stream))
        {
            var inOrder = stream.OrderBy(change => change.Generation).ToList();
            var moments = published[stream.Key];
            if (inOrder.Count != moments.Count)
                throw new InvalidOperationException($"Of stream {stream.Key} {moments.Count} changes were logged, and {inOrder.Count} seen.");
            foreach (var (change, at) in inOrder.Zip(moments))
                foreach (var arrival in change.Arrivals)
                    yield return (change.UpdatedAt.AddMilliseconds(arrival) - at).TotalMilliseconds;
        }
    }

    /// <summary>A stream's life for each: begun, paused, resumed, completed. One after the other, so that changes come evenly.</summary>
    private static async Task LiveAsync(StreamServiceClient client, IReadOnlyList<string> names)
    {
        var disks = names.Select(name => client.Disk(name, "vda")).ToList();
        using var beat = new PeriodicTimer(Beat);
        foreach (var act in new Func<DiskClient, Task>[]
        {
            disk => disk.StartAsync(new StreamOptions { Bandwidth = Pace, Policy = StreamPolicy.Fixed }),
            disk => disk.PauseAsync(),
            disk => disk.ResumeAsync(),
            disk => disk.ChangeAsync(new StreamChange { Bandwidth = 0 }),
        })
            foreach (var disk in disks)
            {
                await beat.WaitForNextTickAsync();
                while (!await TryAsync(() => act(disk)))
                    await beat.WaitForNextTickAsync();
            }
        foreach (var disk in disks)
            await disk.WaitForEndAsync();
    }

    /// <summary>On a machine that does far more than this benchmark, the records may be out of reach for a moment.</summary>
    private static async Task<bool> TryAsync(Func<Task> act)
    {
        try
        {
            await act();
            return true;
        }
        catch (StreamServiceException refused) when (refused.Status == System.Net.HttpStatusCode.ServiceUnavailable)
        {
            Console.Error.WriteLine(refused.Message);
            return false;
        }
    }

    private static Process StartClients(ServiceProcess service, int count, IReadOnlyList<string> names) => Process.Start(new ProcessStartInfo("dotnet",
        [typeof(HubBenchmark).Assembly.Location, "hub-clients", service.Address.ToString(), count.ToString(CultureInfo.InvariantCulture), .. names])
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
    })!;

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
