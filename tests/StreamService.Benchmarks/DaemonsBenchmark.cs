using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>
/// Many qemu-storage-daemons at once on one service, each with one throttled stream: whether all keep their pace, and what
/// each costs.
/// </summary>
internal static class DaemonsBenchmark
{
    private const long Pace = 256 << 10;

    private static readonly TimeSpan Span = TimeSpan.FromSeconds(30);

    /// <summary>What a stream starts with, its bucket's first fill, is over by then.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(3);

    public static async Task RunAsync(BenchOptions options)
    {
        await using var daemons = await StorageDaemons.StartAsync(options.Count, options.Size);
        await using var service = await daemons.StartServiceAsync();
        using var http = new HttpClient { BaseAddress = service.Address, Timeout = TimeSpan.FromMinutes(5) };
        var process = new ProcessFigures(service.ProcessId);
        await Shell.WaitForAsync("all daemons to be known", async () => await CountAsync(http, "/domains?limit=1000") >= options.Count, TimeSpan.FromMinutes(2));
        await Task.Delay(Settle);
        var idle = process.Memory;

        var urls = daemons.Names.Select(name => $"/domains/{name}/disks/vda").ToList();
        foreach (var url in urls)
            using (var answer = await http.PostAsJsonAsync($"{url}/stream", new { mode = "full", bandwidth = Pace, policy = "fixed" }))
                if (!answer.IsSuccessStatusCode)
                    throw new InvalidOperationException(await answer.Content.ReadAsStringAsync());
        foreach (var url in urls)
            await Shell.WaitForAsync($"{url} to run", async () => (await LookAsync(http, url)).Bytes > 0, TimeSpan.FromMinutes(2));
        await Task.Delay(Settle);

        var before = await Task.WhenAll(urls.Select(url => LookAsync(http, url)));
        var cpu = process.CpuTime;
        var begun = TimeProvider.System.GetTimestamp();
        // What is observed is the time itself.
        await Task.Delay(Span);
        var seconds = TimeProvider.System.GetElapsedTime(begun).TotalSeconds;
        cpu = process.CpuTime - cpu;
        var memory = process.Memory;
        var after = await Task.WhenAll(urls.Select(url => LookAsync(http, url)));

        var errors = before.Zip(after, (from, to) => ((to.Bytes - from.Bytes) / (to.At - from.At).TotalSeconds / Pace - 1) * 100).ToList();
        var table = new MarkdownTable("streams", "pace, KiB/s", "seconds", "slowest, % off", "median, % off", "fastest, % off", "CPU ms per stream and s", "CPU of one core, %",
            "memory per stream, KiB", "idle RSS, MiB", "VmHWM, MiB");
        table.Add($"{options.Count}", Text(Pace / 1024, "0"), Text(seconds, "0.0"), Text(errors.Min(), "0.00"), Text(Sample.Median(errors), "0.00"), Text(errors.Max(), "0.00"),
            Text(cpu.TotalMilliseconds / options.Count / seconds, "0.000"), Text(cpu.TotalSeconds / seconds * 100, "0.0"),
            Text((memory - idle) / 1024.0 / options.Count, "0"), Text(idle / (double)(1 << 20), "0"), Text(process.PeakMemory / (double)(1 << 20), "0"));
        table.Print();
        foreach (var url in urls)
            (await http.DeleteAsync($"{url}/stream")).Dispose();
    }

    /// <summary>The domains that run.</summary>
    internal static async Task<int> CountAsync(HttpClient http, string url) =>
        (await http.GetFromJsonAsync<JsonElement>(url)).GetProperty("items").EnumerateArray().Count(domain => domain.GetProperty("state").GetString() == "running");

    /// <summary>By the service's own clock, so that neither the way there nor the rhythm of snapshots is taken for a fault of the pace.</summary>
    private static async Task<(long Bytes, DateTimeOffset At)> LookAsync(HttpClient http, string url)
    {
        var status = await http.GetFromJsonAsync<JsonElement>($"{url}/status");
        return (status.GetProperty("bytesStreamed").GetInt64(), status.GetProperty("updatedAt").GetDateTimeOffset());
    }

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
