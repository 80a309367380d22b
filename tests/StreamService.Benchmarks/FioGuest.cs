using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using StreamService.Hypervisors;

namespace StreamService.Benchmarks;

/// <summary>What a guest felt.</summary>
/// <param name="Operations">Reads and writes a second.</param>
internal sealed record GuestFigures(double Operations, double ReadP50, double ReadP99, double WriteP50, double WriteP99, double FlushP99)
{
    public double WorstP99Ratio(GuestFigures alone) => Math.Max(ReadP99 / alone.ReadP99, WriteP99 / alone.WriteP99);
}

/// <summary>
/// fio plays the guest: 4 KiB at random, 70 % reads, depth 1, a flush after every 64 writes. It prints its figures every
/// 100 ms, and those are the counters that the controller sees: a storage daemon has no guest device that would count.
/// </summary>
internal sealed class FioGuest : IAsyncDisposable
{
    private readonly Process _fio;
    private readonly Task _reading;
    private JsonElement _job;
    private GuestIo _io;
    private readonly Lock _lock = new();

    private FioGuest(Process fio)
    {
        _fio = fio;
        _reading = ReadAsync();
    }

    /// <summary>The counters' present value.</summary>
    public GuestIo Io
    {
        get
        {
            lock (_lock)
                return _io;
        }
    }

    public static FioGuest Start(string uri, TimeSpan length) => new(Process.Start(new ProcessStartInfo("fio",
    [
        "--name=guest", "--ioengine=nbd", $"--uri={uri}", "--rw=randrw", "--rwmixread=70", "--bs=4k", "--iodepth=1", "--fsync=64", "--randrepeat=0",
        "--time_based", string.Create(CultureInfo.InvariantCulture, $"--runtime={length.TotalSeconds:0}"), "--output-format=json", "--status-interval=100ms",
    ])
    { RedirectStandardOutput = true, RedirectStandardError = true })!);

    /// <summary>Waits for its end.</summary>
    public async Task<GuestFigures> EndAsync()
    {
        await _reading;
        await _fio.WaitForExitAsync();
        var seconds = _job.GetProperty("job_runtime").GetDouble() / 1000;
        return new GuestFigures(
            (Count("read") + Count("write")) / seconds,
            Percentile("read", "clat_ns", "50.000000"),
            Percentile("read", "clat_ns", "99.000000"),
            Percentile("write", "clat_ns", "50.000000"),
            Percentile("write", "clat_ns", "99.000000"),
            Percentile("sync", "lat_ns", "99.000000"));
    }

    /// <summary>Ends it before its time; it still tells its figures.</summary>
    public async Task InterruptAsync()
    {
        if (!_fio.HasExited)
            await IntegrationTests.Harness.Shell.RunAsync("kill", "-INT", _fio.Id.ToString(CultureInfo.InvariantCulture));
    }

    public async ValueTask DisposeAsync()
    {
        if (!_fio.HasExited)
            _fio.Kill();
        await _fio.WaitForExitAsync();
        _fio.Dispose();
    }

    private async Task ReadAsync()
    {
        var document = new StringBuilder();
        while (await _fio.StandardOutput.ReadLineAsync() is { } line)
        {
            if (document.Length == 0 && line != "{")
                continue;
            document.AppendLine(line);
            if (line != "}")
                continue;
            _job = JsonDocument.Parse(document.ToString()).RootElement.GetProperty("jobs")[0];
            document.Clear();
            var io = new GuestIo(Operations("read", "clat_ns"), Operations("write", "clat_ns"), Operations("sync", "lat_ns"));
            lock (_lock)
                _io = io;
        }
    }

    private GuestOperations Operations(string kind, string latency)
    {
        var figures = _job.GetProperty(kind).GetProperty(latency);
        var count = figures.GetProperty("N").GetInt64();
        return GuestOperations.Of(count, (long)(count * figures.GetProperty("mean").GetDouble()));
    }

    private long Count(string kind) => _job.GetProperty(kind).GetProperty("total_ios").GetInt64();

    /// <summary>In milliseconds.</summary>
    private double Percentile(string kind, string latency, string percentile) =>
        _job.GetProperty(kind).GetProperty(latency).TryGetProperty("percentile", out var all) ? all.GetProperty(percentile).GetDouble() / 1e6 : 0;
}
