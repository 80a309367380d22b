using System.Globalization;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>
/// How well a fixed bandwidth is kept. The judge is the source: nbdkit's log tells to the microsecond when each request for
/// the base arrives. Beside it QEMU's own job with its speed set to the same.
/// </summary>
internal static class PaceBenchmark
{
    private static readonly TimeSpan Span = TimeSpan.FromSeconds(10);

    /// <summary>No request for so long: the slow pace is in force, and what came before it was of the fast one.</summary>
    private static readonly TimeSpan Lull = TimeSpan.FromMilliseconds(300);

    private const long Slow = 64 << 10;
    private const long Fast = 50 << 20;

    public static async Task RunAsync(Workbench bench)
    {
        await bench.WarmUpAsync();
        var format = bench.Options.Formats[0];
        var table = new MarkdownTable("pace, KiB/s", "who", "seconds", "mean, KiB/s", "error, %", "largest request, KiB", "most in 100 ms, KiB", "pace + one request, KiB");
        foreach (var pace in bench.Options.Paces)
        {
            var length = TimeSpan.FromSeconds(Math.Min(Span.TotalSeconds, bench.Options.Size * 0.9 / pace));
            Add(table, pace, "stream", await WatchAsync(bench, format, domain => domain.StartStreamAsync(pace), length, domain => domain.CancelAsync()));
            Add(table, pace, "block-stream", await WatchAsync(bench, format,
                domain => TestDomain.VirshAsync("blockpull", domain.Name, "vda", "--bytes", pace.ToString(CultureInfo.InvariantCulture)),
                length, domain => TestDomain.VirshAsync("blockjob", domain.Name, "vda", "--abort")));
        }
        table.Print();
        Console.WriteLine();
        await ChangesAsync(bench, format);
    }

    private static async Task<IReadOnlyList<SourceRequest>> WatchAsync(Workbench bench, string format, Func<BenchDomain, Task> start, TimeSpan length, Func<BenchDomain, Task> stop)
    {
        await using var source = await BaseSource.StartAsync(bench, "0", log: true);
        await using var domain = await BenchDomain.StartAsync(bench, format, source);
        var begun = TimeProvider.System.GetUtcNow();
        await start(domain);
        // What is observed is the time itself.
        await Task.Delay(length);
        var requests = SourceRequest.Read(source.Log!, from: begun);
        await stop(domain);
        return requests;
    }

    private static void Add(MarkdownTable table, long pace, string who, IReadOnlyList<SourceRequest> requests)
    {
        var largest = requests.Max(request => request.Bytes);
        var span = (requests[^1].At - requests[0].At).TotalSeconds;
        // The last request's bytes are due in the time after it.
        var mean = requests.SkipLast(1).Sum(request => (double)request.Bytes) / span;
        table.Add(KiB(pace), who, Text(span, "0.0"), requests.Count > 1 ? KiB(mean) : "-", requests.Count > 1 ? Text((mean / pace - 1) * 100, "+0.00;-0.00") : "-",
            KiB(largest), KiB(SourceRequest.MostWithin(requests, TimeSpan.FromMilliseconds(100))), KiB(pace * 0.1 + largest));
    }

    /// <summary>How long after a PATCH was sent the source notices.</summary>
    private static async Task ChangesAsync(Workbench bench, string format)
    {
        var table = new MarkdownTable("change of the bandwidth", "round", "answered after, ms", "at the source after, ms");
        for (var round = 1; round <= bench.Options.Rounds; round++)
        {
            await using var source = await BaseSource.StartAsync(bench, "0", log: true);
            await using var domain = await BenchDomain.StartAsync(bench, format, source);
            await domain.StartStreamAsync(Slow);
            await Task.Delay(TimeSpan.FromSeconds(2.5));

            var (faster, answered) = await ChangeAsync(domain, Fast);
            await Task.Delay(TimeSpan.FromSeconds(1));
            var first = SourceRequest.Read(source.Log!, faster)[0].At;
            table.Add($"{KiB(Slow)} to {KiB(Fast)} KiB/s", $"{round}", Text(answered, "0.0"), Text((first - faster).TotalMilliseconds, "0.0"));

            var (slower, answeredToo) = await ChangeAsync(domain, Slow);
            await Task.Delay(TimeSpan.FromSeconds(1.5));
            var last = SourceRequest.LastBeforeLull(SourceRequest.Read(source.Log!, slower - Lull), Lull);
            table.Add($"{KiB(Fast)} to {KiB(Slow)} KiB/s", $"{round}", Text(answeredToo, "0.0"), Text((last - slower).TotalMilliseconds, "0.0"));
            await domain.CancelAsync();
        }
        table.Print();
    }

    private static async Task<(DateTimeOffset Sent, double AnsweredAfter)> ChangeAsync(BenchDomain domain, long bandwidth)
    {
        var sent = TimeProvider.System.GetUtcNow();
        var answered = await Sample.TimeAsync(() => domain.ChangeAsync(bandwidth));
        return (sent, answered.TotalMilliseconds);
    }

    private static string KiB(double bytes) => Text(bytes / 1024, "0.#");

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
