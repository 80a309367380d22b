using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;

namespace StreamService.Benchmarks;

/// <summary>
/// A whole disk in single steps of 64 KiB, one after the other over one kept-alive HTTP connection, following the offset
/// that each answer names. The last step, which flushes and drops the backing link, is told apart.
/// </summary>
internal static class StepsBenchmark
{
    private const int Unit = 64 << 10;

    public static async Task RunAsync(Workbench bench)
    {
        using var http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1 }) { BaseAddress = bench.Http.BaseAddress };
        var table = new MarkdownTable("overlay", "round", "steps", "steps/s", "p50, ms", "p99, ms", "last step, ms");
        var rates = new List<double>();
        foreach (var format in bench.Options.Formats)
            for (var round = 0; round < bench.Options.Rounds; round++)
            {
                await using var source = await BaseSource.StartAsync(bench, "file");
                await using var domain = await BenchDomain.StartAsync(bench, format, source);
                // The first step makes the export.
                var offset = (await StepAsync(http, domain, 0)).Offset;
                var times = new List<double>();
                for (var done = false; !done;)
                {
                    var begun = TimeProvider.System.GetTimestamp();
                    (offset, done) = await StepAsync(http, domain, offset);
                    times.Add(TimeProvider.System.GetElapsedTime(begun).TotalMilliseconds);
                }
                var last = times[^1];
                times.RemoveAt(times.Count - 1);
                rates.Add(times.Count * 1000 / times.Sum());
                table.Add(format, $"{round + 1}", $"{times.Count}", Text(rates[^1], "0"), Text(Sample.Median(times), "0.000"),
                    Text(Sample.Quantile(times, 0.99), "0.000"), Text(last, "0"));
            }
        Console.WriteLine($"{bench.Options.Size >> 20} MiB, local file; median {Text(Sample.Median(rates), "0")} steps/s.");
        table.Print();
    }

    private static async Task<(long Offset, bool Done)> StepAsync(HttpClient http, BenchDomain domain, long offset)
    {
        using var answer = await http.PostAsJsonAsync($"{domain.Url}/stream", new { mode = "single", offset, length = Unit });
        if (!answer.IsSuccessStatusCode)
            throw new InvalidOperationException(await answer.Content.ReadAsStringAsync());
        using var step = await JsonDocument.ParseAsync(await answer.Content.ReadAsStreamAsync());
        return (step.RootElement.GetProperty("offset").GetInt64(), step.RootElement.GetProperty("done").GetBoolean());
    }

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
