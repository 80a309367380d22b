using System.Globalization;
using StreamService.Configuration;
using StreamService.IntegrationTests.Harness;
using StreamService.Streaming;
using StreamService.Streaming.Profiles;

namespace StreamService.Benchmarks;

/// <summary>
/// What a guest feels while its disk is streamed: with no stream, under ours (adaptive), under QEMU's block-stream at our mean
/// speed, at full speed, and at a row of fixed speeds. In turn, on fresh overlays, in one run.
/// </summary>
/// <remarks>
/// The guest is fio on a second, writable export of the same node of a qemu-storage-daemon: a guest kernel under TCG makes
/// more noise than the streams do. Ours is driven below the service, by the class that it drives streams with.
/// </remarks>
internal static class GuestImpactBenchmark
{
    private static readonly TimeSpan Load = TimeSpan.FromSeconds(5);
    private static readonly long[] FixedSpeeds = [5, 10, 20, 50, 100];

    private sealed record Outcome(GuestFigures Guest, double BytesPerSecond, TimeSpan? BackAtFullSpeed = null);

    public static async Task RunAsync(BenchOptions options)
    {
        var folder = Path.Combine(Environment.GetEnvironmentVariable("TMPDIR") ?? "/var/tmp", $"streamservice-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(folder);
        try
        {
            var @base = Path.Combine(folder, "base.raw");
            await NumberedSectors.WriteAsync(@base, options.Size, salt: 1, (0, options.Size));
            var outcomes = new Dictionary<string, List<Outcome>>();
            for (var round = 0; round < options.Rounds; round++)
                await RoundAsync(Path.Combine(folder, "disks"), @base, outcomes);
            Print(options, outcomes);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task RoundAsync(string folder, string @base, Dictionary<string, List<Outcome>> outcomes)
    {
        Keep("no stream", await MeasureAsync(folder, @base, async (_, guest) => new Outcome(await guest.EndAsync(), 0)));
        var ours = await MeasureAsync(folder, @base, StreamAsync);
        Keep("ours, adaptive", ours);
        Keep("block-stream at our mean speed", await PeerAsync((long)ours.BytesPerSecond));
        Keep("block-stream, full speed", await PeerAsync(0));
        foreach (var speed in FixedSpeeds)
            Keep($"block-stream, {speed} MiB/s", await PeerAsync(speed << 20));

        Task<Outcome> PeerAsync(long speed) => MeasureAsync(folder, @base, (disks, guest) => BlockStreamAsync(disks, guest, speed));

        void Keep(string who, Outcome outcome)
        {
            Console.Error.WriteLine($"{who}: {outcome}");
            (outcomes.TryGetValue(who, out var all) ? all : outcomes[who] = []).Add(outcome);
        }
    }

    private static async Task<Outcome> MeasureAsync(string folder, string @base, Func<ExportedDisks, FioGuest, Task<Outcome>> measure)
    {
        await using var disks = await ExportedDisks.StartAsync(folder, @base, disks: 1);
        await using var guest = FioGuest.Start(disks.GuestUri(0), Load);
        disks.GuestIo = () => guest.Io;
        // The load is there first: a stream that ran ahead of it would count as fast.
        await Shell.WaitForAsync("the guest to work", () => Task.FromResult(guest.Io.Operations > 0));
        return await measure(disks, guest);
    }

    private static async Task<Outcome> StreamAsync(ExportedDisks disks, FioGuest guest)
    {
        var time = TimeProvider.System;
        var spec = new StreamSpec(null, Bandwidth: 0, StreamPolicy.Adaptive, StreamPriority.Normal, StreamOnError.Report, StreamEngine.Pipelined, StreamOrder.Sequential);
        var run = new PipelinedRun(disks, ExportedDisks.Address(0), spec, new StreamPace(new SectorThrottle(0, 64 << 10, time)),
            (_, _) => Task.FromResult<ImageProfile?>(null), 64 << 10, new StreamingOptions(), time);
        using var stop = new CancellationTokenSource();
        var begun = time.GetTimestamp();
        var running = run.RunAsync(() => Task.CompletedTask, stop.Token);
        using var telling = new Timer(_ => Console.Error.WriteLine($"  {run.BytesStreamed >> 20} MiB; {run.Yielding}"), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        var figures = await guest.EndAsync();
        var ended = time.GetTimestamp();
        var streamed = run.BytesStreamed;
        while (run.Yielding is not null && !running.IsCompleted)
            await Task.Delay(5);
        var back = time.GetElapsedTime(ended);
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
        return new Outcome(figures, streamed / time.GetElapsedTime(begun, ended).TotalSeconds, back);
    }

    private static async Task<Outcome> BlockStreamAsync(ExportedDisks disks, FioGuest guest, long speed)
    {
        var begun = TimeProvider.System.GetTimestamp();
        await disks.StartBlockStreamAsync(0, speed);
        var end = guest.EndAsync();
        long done = 0;
        var elapsed = TimeSpan.Zero;
        while (!end.IsCompleted)
        {
            await Task.WhenAny(end, Task.Delay(50));
            if (await disks.FindBlockStreamAsync() is { } offset)
            {
                (done, elapsed) = (offset, TimeProvider.System.GetElapsedTime(begun));
                continue;
            }
            // A guest that goes on beside no stream would flatter it.
            await guest.InterruptAsync();
            break;
        }
        return new Outcome(await end, done / elapsed.TotalSeconds);
    }

    private static void Print(BenchOptions options, Dictionary<string, List<Outcome>> outcomes)
    {
        var alone = Median(outcomes["no stream"]);
        var table = new MarkdownTable("stream", "MiB/s", "guest ops/s", "of none", "read p50", "read p99", "write p50", "write p99", "flush p99", "worst p99 to none", "back at full speed, ms");
        foreach (var (who, all) in outcomes)
        {
            var median = Median(all);
            table.Add(who, Text(median.BytesPerSecond / (1 << 20), "0.0"), Text(median.Guest.Operations, "0"),
                Text(median.Guest.Operations / alone.Guest.Operations, "0.00"),
                Text(median.Guest.ReadP50, "0.00"), Text(median.Guest.ReadP99, "0.00"), Text(median.Guest.WriteP50, "0.00"), Text(median.Guest.WriteP99, "0.00"),
                Text(median.Guest.FlushP99, "0.0"), Text(median.Guest.WorstP99Ratio(alone.Guest), "0.00"),
                median.BackAtFullSpeed is { } back ? Text(back.TotalMilliseconds, "0") : "");
        }
        Console.WriteLine($"{options.Size >> 20} MiB, qcow2 on a local file; 4 KiB random, 70 % reads, depth 1, a flush every 64 writes, {Load.TotalSeconds:0} s; medians of {options.Rounds}; times in ms");
        table.Print();
        var ours = Median(outcomes["ours, adaptive"]);
        var peer = Median(outcomes["block-stream at our mean speed"]);
        var equal = outcomes.Where(entry => entry.Key.StartsWith("block-stream", StringComparison.Ordinal)).Select(entry => Median(entry.Value))
            .Where(other => other.Guest.WorstP99Ratio(alone.Guest) <= ours.Guest.WorstP99Ratio(alone.Guest)).Select(other => other.BytesPerSecond).DefaultIfEmpty(0).Max();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""

            worst p99, ours to no stream:                            {ours.Guest.WorstP99Ratio(alone.Guest):0.00}  (at most 1.5)
            guest's operations, ours to block-stream at our speed:   {ours.Guest.Operations / peer.Guest.Operations:0.00}  (at least 1.5)
            fastest block-stream with no worse p99 than ours, MiB/s: {equal / (1 << 20):0.0}  (ours: {ours.BytesPerSecond / (1 << 20):0.0})
            back at full speed after the load, ms:                   {ours.BackAtFullSpeed!.Value.TotalMilliseconds:0}  (at most 1000)
            """));
    }

    /// <summary>Each figure's own median.</summary>
    private static Outcome Median(IReadOnlyList<Outcome> all)
    {
        return new Outcome(new GuestFigures(Of(o => o.Guest.Operations), Of(o => o.Guest.ReadP50), Of(o => o.Guest.ReadP99), Of(o => o.Guest.WriteP50), Of(o => o.Guest.WriteP99), Of(o => o.Guest.FlushP99)),
            Sample.Median(all.Select(outcome => outcome.BytesPerSecond)),
            all[0].BackAtFullSpeed is null ? null : TimeSpan.FromMilliseconds(Sample.Median(all.Select(outcome => outcome.BackAtFullSpeed!.Value.TotalMilliseconds))));

        double Of(Func<Outcome, double> figure) => Sample.Median(all.Select(figure));
    }

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
