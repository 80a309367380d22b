using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests;
using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>
/// The real service for a long time: a hundred machines whose disks are streamed over and over, paused, changed, cancelled,
/// their processes killed and started again, while the service itself is left alone. Whether anything of it grows, and whether
/// finished disks hold what their base does.
/// </summary>
internal sealed class Soak : IAsyncDisposable
{
    /// <summary>The rest are qemu-storage-daemons: they cost least.</summary>
    private const int LibvirtDomains = 4;

    private static readonly TimeSpan SampleEvery = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan RowEvery = TimeSpan.FromMinutes(1);

    /// <summary>By then the service has given back all that it took for streams that are over.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>What may not grow, and what noise is in small numbers.</summary>
    private static readonly (string Name, string Format, double Slack, Func<Sighting, double> Value)[] Figures =
    [
        ("RSS, MiB", "0.0", 6, sighting => sighting.Memory / (double)(1 << 20)),
        ("handles", "0", 12, sighting => sighting.Handles),
        ("sockets", "0", 12, sighting => sighting.Sockets),
        ("threads", "0", 4, sighting => sighting.Threads),
        ("exports in QEMUs", "0", 8, sighting => sighting.Exports),
        ("files of sockets", "0", 8, sighting => sighting.Files),
        ("qemu processes", "0", 4, sighting => sighting.Qemus),
    ];

    private readonly BenchOptions _options;
    private readonly string _folder;
    private readonly List<SoakMachine> _machines = [];
    private readonly List<Sighting> _sightings = [];
    private readonly SoakCounts _counts = new();
    private ServiceProcess? _service;
    private HttpClient? _http;

    private Soak(BenchOptions options)
    {
        _options = options;
        _folder = Path.Combine(Environment.GetEnvironmentVariable("TMPDIR") ?? "/var/tmp", $"soak-{Environment.ProcessId}");
    }

    /// <summary>What was seen at one moment.</summary>
    /// <param name="Streams">Those that are not over.</param>
    private sealed record Sighting(TimeSpan At, long Memory, int Handles, int Sockets, int Threads, int Exports, int Files, int Qemus, int Streams, double Cpu);

    private string Monitors => Path.Combine(_folder, "m");

    private string Runtime => Path.Combine(_folder, "run");

    /// <returns>Whether nothing grew and no byte was wrong.</returns>
    public static async Task<bool> RunAsync(BenchOptions options)
    {
        await using var soak = new Soak(options);
        await soak.StartAsync();
        return await soak.RunAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var machine in _machines)
            await machine.DisposeAsync();
        _http?.Dispose();
        if (_service is not null)
            await _service.DisposeAsync();
        if (Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
    }

    private async Task StartAsync()
    {
        // QEMU runs as another user under libvirt, who must get through to the images.
        Directory.CreateDirectory(Monitors, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        var image = Path.Combine(_folder, "base.raw");
        await NumberedSectors.WriteAsync(image, _options.Size, salt: 1, (0, _options.Size));
        var libvirt = Requires.IsLibvirtThere;
        var settings = new Dictionary<string, string>
        {
            ["StreamService__RuntimeDirectory"] = Runtime,
            ["StreamService__Hosts__0__Name"] = "daemons",
            ["StreamService__Hosts__0__Uri"] = $"qmp+unix://{Monitors}/*.sock",
            ["StreamService__Hosts__1__Name"] = libvirt ? "local" : "none",
            ["StreamService__Hosts__1__Uri"] = libvirt ? "qemu:///system" : "qmp+unix:///nonexistent/*.sock",
        };
        _service = await ServiceProcess.StartAsync(settings);
        // One caller has a connection for each machine; more would be the caller's own growth.
        _http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 16 }) { BaseAddress = _service.Address, Timeout = TimeSpan.FromMinutes(2) };
        for (var i = 0; i < _options.Count; i++)
        {
            var random = new Random(i);
            _machines.Add(libvirt && i < Math.Min(LibvirtDomains, _options.Count / 2)
                ? new SoakDomain(_folder, image, i, _http, _counts, random)
                : new SoakDaemon(_folder, Monitors, image, i, _http, _counts, random));
        }
    }

    private async Task<bool> RunAsync()
    {
        var length = TimeSpan.FromMinutes(_options.Minutes);
        var every = Shorter(SampleEvery, length / 30);
        var process = new ProcessFigures(_service!.ProcessId);
        var filesAtRest = Files();
        var table = new MarkdownTable(["minutes", "streams", .. Figures.Select(figure => figure.Name), "CPU of one core, %", "completed", "cancelled", "paused", "changed", "killed", "compared"]);
        using var stop = new CancellationTokenSource();
        var begun = Stopwatch.GetTimestamp();
        var running = _machines.Select(machine => machine.RunAsync(stop.Token)).ToList();
        try
        {
            using var timer = new PeriodicTimer(every);
            var (row, cpu, cpuAt) = (TimeSpan.Zero, process.CpuTime, begun);
            while (Stopwatch.GetElapsedTime(begun) < length && await timer.WaitForNextTickAsync())
            {
                var (spent, now) = (process.CpuTime, Stopwatch.GetTimestamp());
                var sighting = await LookAsync(process, Stopwatch.GetElapsedTime(begun, now), (spent - cpu) / Stopwatch.GetElapsedTime(cpuAt, now));
                (cpu, cpuAt) = (spent, now);
                _sightings.Add(sighting);
                if (sighting.At < row)
                    continue;
                row = sighting.At + Shorter(RowEvery, length / 6) - every / 2;
                table.Add([
                    Text(sighting.At.TotalMinutes, "0.0"), $"{sighting.Streams}", .. Figures.Select(figure => Text(figure.Value(sighting), figure.Format)), Text(sighting.Cpu * 100, "0"),
                    $"{_counts.Completed}", $"{_counts.Cancelled}", $"{_counts.Paused}", $"{_counts.Changed}", $"{_counts.Killed}", $"{_counts.Compared}",
                ]);
            }
        }
        finally
        {
            // Whatever became of the looking: a machine that goes on could not be cleared away.
            await stop.CancelAsync();
            await Task.WhenAll(running);
        }
        var left = await RestAsync(process, begun, filesAtRest);
        table.Print();
        return Judge(left, filesAtRest);
    }

    /// <summary>All streams are over: what is left once the service has given back what it took.</summary>
    private async Task<Sighting> RestAsync(ProcessFigures process, long begun, int filesAtRest)
    {
        var given = Stopwatch.GetTimestamp();
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        while (true)
        {
            var sighting = await LookAsync(process, Stopwatch.GetElapsedTime(begun), 0);
            if (sighting is { Streams: 0, Exports: 0 } && sighting.Files <= filesAtRest || Stopwatch.GetElapsedTime(given) > Patience)
                return sighting;
            await timer.WaitForNextTickAsync();
        }
    }

    private bool Judge(Sighting left, int filesAtRest)
    {
        var third = _sightings.Count / 3;
        var verdicts = new MarkdownTable("figure", "mean of the second third", "of the last third", "growth", "allowed", "flat");
        var good = third > 0;
        foreach (var (name, _, slack, value) in Figures)
        {
            var before = _sightings.Skip(_sightings.Count - 2 * third).Take(third).Select(value).DefaultIfEmpty().Average();
            var after = _sightings.Skip(_sightings.Count - third).Select(value).DefaultIfEmpty().Average();
            var allowed = before / 10 + slack;
            var flat = after - before <= allowed;
            good &= flat;
            verdicts.Add(name, Text(before, "0.0"), Text(after, "0.0"), Text(after - before, "0.0"), Text(allowed, "0.0"), flat ? "yes" : "no");
        }
        Console.WriteLine();
        verdicts.Print();

        Console.WriteLine();
        var rest = new MarkdownTable("at the end", "count", "good");
        foreach (var (name, count, fine) in new[]
        {
            ("streams completed", _counts.Completed, _counts.Completed > 0),
            ("streams cancelled when the backing link was dropped already", _counts.TooLate, true),
            ("finished disks compared with their base", _counts.Compared, _counts.Compared > 0),
            ("of them different", _counts.Different, _counts.Different == 0),
            ("streams that failed", _counts.Failed, _counts.Failed == 0),
            ("streams that did not get on", _counts.Stuck, _counts.Stuck == 0),
            ("answers that were faults of the service", _counts.Faults, _counts.Faults == 0),
            ("machines whose part broke off", _counts.Broken, _counts.Broken == 0),
            ("streams left once all were cancelled", left.Streams, left.Streams == 0),
            ("exports left in QEMUs", left.Exports, left.Exports == 0),
            ("files of sockets left", left.Files, left.Files <= filesAtRest),
        })
        {
            good &= fine;
            rest.Add(name, $"{count}", fine ? "yes" : "no");
        }
        rest.Print();
        foreach (var note in _counts.Notes)
            Console.WriteLine(note);
        if (!good)
            Console.Error.WriteLine($"The service's log ends:\n{_service!.LogText[^Math.Min(_service.LogText.Length, 4000)..]}");
        return good;
    }

    private async Task<Sighting> LookAsync(ProcessFigures process, TimeSpan at, double cpu)
    {
        var handles = process.Handles;
        var streams = await _http!.GetFromJsonAsync<JsonElement>("/streams?state=queued&state=running&state=paused&state=waiting&state=finalizing&limit=1000");
        var exports = await Task.WhenAll(_machines.Select(machine => machine.CountExportsAsync()));
        return new Sighting(at, process.Memory, handles.Count, handles.Count(handle => handle.StartsWith("socket:", StringComparison.Ordinal)), process.Threads,
            exports.Sum(), Files(), CountQemus(), streams.GetProperty("items").GetArrayLength(), cpu);
    }

    /// <summary>
    /// What is in the service's own folder, and the sockets beside monitors that daemons listen at on its behalf: the file that a killed
    /// one leaves is its own, and taken over by the next.
    /// </summary>
    private int Files() =>
        (Directory.Exists(Runtime) ? Directory.EnumerateFileSystemEntries(Runtime, "*", SearchOption.AllDirectories).Count() : 0)
        + File.ReadLines("/proc/net/unix").Select(line => line.Split(' ')[^1])
            .Where(path => path.StartsWith(Monitors, StringComparison.Ordinal) && path.EndsWith(".nbd", StringComparison.Ordinal)).Distinct().Count();

    /// <summary>Every process of QEMU's that works on our images, whoever started it: the service has some for domains that are off.</summary>
    private int CountQemus() => Directory.EnumerateDirectories("/proc").Count(process =>
    {
        try
        {
            return File.ReadAllText(Path.Combine(process, "comm")).StartsWith("qemu-", StringComparison.Ordinal)
                && File.ReadAllText(Path.Combine(process, "cmdline")) is var line && line.Contains(_folder, StringComparison.Ordinal) && !line.StartsWith("qemu-img", StringComparison.Ordinal);
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    });

    private static TimeSpan Shorter(TimeSpan one, TimeSpan other) => one < other ? one : other;

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
