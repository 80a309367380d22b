using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Playwright;
using StreamService.IntegrationTests.Dashboard;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>The dashboard with many streams on record, many of them live on real qemu-storage-daemons, in a real Chromium.</summary>
internal static class DashboardBenchmark
{
    private const int Records = 10_000;

    /// <summary>Slow enough that all are live for as long as it takes.</summary>
    private const long Pace = 64 << 10;

    private static readonly TimeSpan Span = TimeSpan.FromSeconds(30);

    /// <summary>What a page does once, when it opens, is over by then.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(5);

    /// <summary>Notes when the first row is there, and when the page has painted it and gets to something else: a click would be heard.</summary>
    private const string Watch = """
        window.bench = { shown: 0, free: 0 };
        (function look() {
          if (!document.querySelector('[data-testid=stream-row]')) { requestAnimationFrame(look); return; }
          window.bench.shown = performance.now();
          requestAnimationFrame(() => setTimeout(() => { window.bench.free = performance.now(); }));
        })();
        """;

    /// <summary>Scrolls evenly through the list, 4000 pixels a second, and returns the milliseconds between frames.</summary>
    private const string Scroll = """
        () => new Promise(resolve => {
          const frames = []; let before; const begun = performance.now();
          requestAnimationFrame(function step(now) {
            if (before !== undefined) frames.push(now - before);
            before = now;
            window.scrollTo(0, (now - begun) * 4);
            if (now - begun < 10000) requestAnimationFrame(step); else resolve(frames);
          });
        })
        """;

    public static async Task RunAsync(BenchOptions options)
    {
        await using var daemons = await StorageDaemons.StartAsync(options.Count, options.Size);
        var database = Path.Combine(daemons.Folder, "streams.db");
        await StreamListPageTests.SeedAsync(database, Records - options.Count);
        await using var service = await daemons.StartServiceAsync(database);
        using var http = new HttpClient { BaseAddress = service.Address, Timeout = TimeSpan.FromMinutes(5) };
        await Shell.WaitForAsync("all daemons to be known", async () => await DaemonsBenchmark.CountAsync(http, "/domains?limit=1000") >= options.Count, TimeSpan.FromMinutes(2));
        var urls = daemons.Names.Select(name => $"/domains/{name}/disks/vda/stream").ToList();
        foreach (var url in urls)
            await SendAsync(http, HttpMethod.Post, url, new { mode = "full", bandwidth = Pace, policy = "fixed" });
        await Shell.WaitForAsync("all streams to run", async () => await CountAsync(http, "running") == options.Count, TimeSpan.FromMinutes(2));

        await using var browser = await Browser.StartAsync();
        var address = new Uri(service.Address, "/#/streams");
        var opened = new MarkdownTable("opened", "script there, ms", "list answered, ms", "first rows, ms", "can be used, ms", "search answers, ms", "rows in the page");
        foreach (var cold in new[] { true, true, true, false, false, false })
            opened.Add(await OpenAsync(browser, address, cold));
        opened.Print();
        Console.WriteLine();

        var page = await browser.OpenAsync(address);
        await Assertions.Expect(page.GetByTestId("stream-count")).ToContainTextAsync(Records.ToString("N0", CultureInfo.InvariantCulture));
        var frames = (await page.EvaluateAsync<double[]>(Scroll)).Order().ToList();
        var scrolled = new MarkdownTable("scrolled", "frames", "median, ms", "p95, ms", "p99, ms", "longest, ms", "over 50 ms");
        scrolled.Add("4000 pixels a second, 10 s", $"{frames.Count}", Text(At(frames, 0.5)), Text(At(frames, 0.95)), Text(At(frames, 0.99)), Text(frames[^1]), $"{frames.Count(frame => frame > 50)}");
        scrolled.Print();
        Console.WriteLine();

        var cost = new MarkdownTable("what is open", "streams", "CPU of Chromium, % of one core", "of the service", "service VmRSS, MiB");
        await CostAsync(cost, page, service, "the list, live ones in sight", address, $"{options.Count} running");
        await CostAsync(cost, page, service, "the overview", service.Address, $"{options.Count} running");
        foreach (var url in urls)
            await SendAsync(http, HttpMethod.Patch, url, new { state = "paused" });
        await Shell.WaitForAsync("all streams to rest", async () => await CountAsync(http, "paused") == options.Count, TimeSpan.FromMinutes(2));
        await CostAsync(cost, page, service, "the list", address, "none changes");
        await CostAsync(cost, page, service, "the overview", service.Address, "none changes");
        await CostAsync(cost, page, service, "an empty page", new Uri("about:blank"), "none changes");
        cost.Print();
        foreach (var url in urls)
            await SendAsync(http, HttpMethod.Delete, url, body: null);
    }

    private static async Task<string[]> OpenAsync(Browser browser, Uri address, bool cold)
    {
        var page = await browser.OpenAsync(new Uri("about:blank"));
        await page.AddInitScriptAsync(Watch);
        await page.GotoAsync(address.ToString());
        if (!cold)
            // Its files are kept by the browser now.
            await page.ReloadAsync();
        await page.WaitForFunctionAsync("() => window.bench.free > 0");
        await Task.Delay(Settle);
        var bench = await page.EvaluateAsync<JsonElement>("() => window.bench");
        var times = await page.EvaluateAsync<double[]>("""
            () => [performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd, Math.min(...performance.getEntriesByType('resource').filter(one => one.name.includes('/streams?')).map(one => one.responseEnd))]
            """);
        var (shown, free) = (bench.GetProperty("shown").GetDouble(), bench.GetProperty("free").GetDouble());
        var rows = await page.GetByTestId("stream-row").CountAsync();
        var begun = Stopwatch.GetTimestamp();
        await page.GetByTestId("stream-search").FillAsync("vm-777");
        await page.WaitForFunctionAsync("() => document.querySelector('[data-testid=stream-count]').textContent.includes('11 streams') && document.querySelectorAll('[data-testid=stream-row]').length === 11");
        var search = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        await page.CloseAsync();
        return [cold ? "first" : "again", Text(times[0]), Text(times[1]), Text(shown), Text(free), Text(search), rows.ToString(CultureInfo.InvariantCulture)];
    }

    private static async Task CostAsync(MarkdownTable table, IPage page, ServiceProcess service, string what, Uri address, string streams)
    {
        await page.GotoAsync("about:blank");
        await page.GotoAsync(address.ToString());
        await Task.Delay(Settle);
        var figures = new ProcessFigures(service.ProcessId);
        var (browserBefore, serviceBefore) = (BrowserTime(), figures.CpuTime);
        var begun = Stopwatch.GetTimestamp();
        // What is observed is the time itself.
        await Task.Delay(Span);
        var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        table.Add(what, streams, Text((BrowserTime() - browserBefore).TotalSeconds / seconds * 100, "0.00"), Text((figures.CpuTime - serviceBefore).TotalSeconds / seconds * 100, "0.0"),
            Text(figures.Memory / (double)(1 << 20), "0"));
    }

    /// <summary>Of all processes of the Chromium that this process started: the browser, its pages, its network, its painting.</summary>
    private static TimeSpan BrowserTime()
    {
        var parents = new Dictionary<int, (int Parent, string Name)>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
            if (int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out var id))
                try
                {
                    var stat = File.ReadAllText(Path.Combine(folder, "stat"));
                    var close = stat.LastIndexOf(')');
                    parents[id] = (int.Parse(stat[(close + 2)..].Split(' ')[1], CultureInfo.InvariantCulture), stat[(stat.IndexOf('(', StringComparison.Ordinal) + 1)..close]);
                }
                catch (IOException)
                {
                    // Ended meanwhile.
                }
        return parents.Where(process => process.Value.Name.StartsWith("chrom", StringComparison.Ordinal) && IsOurs(process.Key))
            .Aggregate(TimeSpan.Zero, (sum, process) => sum + new ProcessFigures(process.Key).CpuTime);

        bool IsOurs(int id) => id == Environment.ProcessId || (parents.TryGetValue(id, out var process) && IsOurs(process.Parent));
    }

    private static async Task SendAsync(HttpClient http, HttpMethod method, string url, object? body)
    {
        using var request = new HttpRequestMessage(method, url) { Content = body is null ? null : JsonContent.Create(body) };
        using var answer = await http.SendAsync(request);
        if (!answer.IsSuccessStatusCode)
            throw new InvalidOperationException($"{method} {url}: {await answer.Content.ReadAsStringAsync()}");
    }

    private static async Task<int> CountAsync(HttpClient http, string state) =>
        (await http.GetFromJsonAsync<JsonElement>("/streams/summary")).GetProperty("states").GetProperty(state).GetInt32();

    private static double At(List<double> sorted, double part) => sorted[Math.Min(sorted.Count - 1, (int)(sorted.Count * part))];

    private static string Text(double number, string format = "0") => number.ToString(format, CultureInfo.InvariantCulture);
}
