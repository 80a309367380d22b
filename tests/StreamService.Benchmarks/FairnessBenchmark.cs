using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Disks;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;

namespace StreamService.Benchmarks;

/// <summary>
/// 50 streams of 50 overlays under one budget, in three priorities, in real time. Shares and sum are of what QEMU answered; what
/// 200 ms hold is told of both sides, as QEMU answers late and then much at once. Then one of high priority ends, and the rest
/// takes its share.
/// </summary>
internal static class FairnessBenchmark
{
    private const int Streams = 50;
    private const int Cluster = 64 << 10;
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan ShortestLength = TimeSpan.FromSeconds(40);

    /// <summary>Of the slowest stream: its share is a whole number of them.</summary>
    private const int Requests = 80;

    private static readonly TimeSpan Window = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan SampleEvery = TimeSpan.FromMilliseconds(2);

    public static async Task RunAsync(BenchOptions options)
    {
        var folder = Path.Combine(Environment.GetEnvironmentVariable("TMPDIR") ?? "/var/tmp", $"streamservice-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(folder);
        var table = new MarkdownTable("budget, MiB/s", "sum, % of it", "most sent in 200 ms, % of it", "answered", "seconds", "low : normal : high", "furthest from its share, %", "one ends: sum 300 ms later, % of the budget");
        try
        {
            var @base = Path.Combine(folder, "base.raw");
            await NumberedSectors.WriteAsync(@base, options.Size, salt: 1, (0, options.Size));
            foreach (var pace in options.Paces)
                await MeasureAsync(Path.Combine(folder, "disks"), @base, pace, table);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        table.Print();
    }

    private static async Task MeasureAsync(string folder, string @base, long pace, MarkdownTable table)
    {
        var time = TimeProvider.System;
        await using var disks = await ExportedDisks.StartAsync(folder, @base, Streams);
        using var registry = new BudgetRegistry(
            Options.Create(new StreamServiceOptions { Budgets = { new BudgetOptions { Name = "all", BytesPerSecond = pace } } }), new BudgetStore(new NoDatabase(), new DatabaseSignals()), time);
        using var stop = new CancellationTokenSource();
        var streams = new List<Member>();
        for (var i = 0; i < Streams; i++)
            streams.Add(await Member.StartAsync(disks, i, registry, (StreamPriority)(i % 3), stop.Token));

        await Task.Delay(Settle);
        var before = streams.Select(stream => stream.Bytes).ToArray();
        var length = TimeSpan.FromSeconds(Math.Max(ShortestLength.TotalSeconds, Requests * Cluster / ((double)pace / streams.Sum(stream => stream.Priority.Weight()))));
        var begun = time.GetTimestamp();
        var sent = new List<(long At, long Bytes)>();
        var answered = new List<(long At, long Bytes)>();
        while (time.GetElapsedTime(begun) < length)
        {
            sent.Add((time.GetTimestamp(), streams.Sum(stream => stream.BytesSent)));
            answered.Add((time.GetTimestamp(), streams.Sum(stream => stream.Bytes)));
            await Task.Delay(SampleEvery);
        }
        var seconds = time.GetElapsedTime(begun).TotalSeconds;
        var got = streams.Select((stream, i) => (double)(stream.Bytes - before[i])).ToArray();

        await streams.First(stream => stream.Priority == StreamPriority.High).EndAsync();
        await Task.Delay(TimeSpan.FromMilliseconds(300));
        var afterEnd = (At: time.GetTimestamp(), Bytes: streams.Sum(stream => stream.Bytes));
        await Task.Delay(TimeSpan.FromSeconds(2));
        var rest = (streams.Sum(stream => stream.Bytes) - afterEnd.Bytes) / time.GetElapsedTime(afterEnd.At).TotalSeconds;
        await stop.CancelAsync();
        foreach (var stream in streams)
            await stream.EndAsync();

        var unit = got.Sum() / streams.Sum(stream => stream.Priority.Weight());
        var means = new[] { StreamPriority.Low, StreamPriority.Normal, StreamPriority.High }
            .Select(priority => streams.Zip(got).Where(pair => pair.First.Priority == priority).Average(pair => pair.Second)).ToArray();
        table.Add($"{pace >> 20}", Percent(got.Sum() / (pace * seconds)), Percent(MostWithin(sent) / (pace * Window.TotalSeconds)),
            Percent(MostWithin(answered) / (pace * Window.TotalSeconds)), seconds.ToString("0", CultureInfo.InvariantCulture),
            string.Create(CultureInfo.InvariantCulture, $"1 : {means[1] / means[0]:0.00} : {means[2] / means[0]:0.00}"),
            Percent(streams.Zip(got).Max(pair => Math.Abs(pair.Second / (unit * pair.First.Priority.Weight()) - 1))), Percent(rest / pace));
    }

    private static double MostWithin(List<(long At, long Bytes)> samples)
    {
        double most = 0;
        for (int first = 0, last = 0; last < samples.Count; last++)
        {
            while (TimeProvider.System.GetElapsedTime(samples[first].At, samples[last].At) > Window)
                first++;
            most = Math.Max(most, samples[last].Bytes - samples[first].Bytes);
        }
        return most;
    }

    private static string Percent(double part) => (part * 100).ToString("0.0", CultureInfo.InvariantCulture);

    /// <summary>What is configured is not on record.</summary>
    private sealed class NoDatabase : IDbContextFactory<StreamDbContext>
    {
        public StreamDbContext CreateDbContext() => throw new NotSupportedException();
    }

    /// <summary>One stream, by the classes that the service drives streams with.</summary>
    private sealed class Member
    {
        private readonly CancellationTokenSource _stop;
        private readonly Populator _populator;
        private readonly Task _running;

        private Member(Populator populator, StreamPriority priority, Func<CancellationToken, Task> run, CancellationToken stopping)
        {
            _stop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            _populator = populator;
            Priority = priority;
            _running = run(_stop.Token);
        }

        public StreamPriority Priority { get; }

        public long Bytes => _populator.BytesStreamed;

        public long BytesSent => _populator.BytesSent;

        public static async Task<Member> StartAsync(ExportedDisks disks, int disk, BudgetRegistry registry, StreamPriority priority, CancellationToken stopping)
        {
            var address = ExportedDisks.Address(disk);
            var export = await disks.ExportDiskAsync(address.Domain, address.Target, evenOff: false, stopping);
            var connection = await export.ConnectAsync(stopping);
            var pass = registry.Enter(new StreamScope(address.Host, [], []), priority, Cluster);
            var pace = new StreamPace(new SectorThrottle(0, Cluster, TimeProvider.System)) { Budgets = pass };
            var populator = new Populator(connection, export.Warm, pace, TimeProvider.System);
            populator.SetWindow(PopulateWindow.Wide(16));
            return new Member(populator, priority, async token =>
            {
                using (pass)
                await using (connection)
                await using (export)
                {
                    var map = await AllocationMap.ReadAsync(export.Warm, 0, export.Size, token);
                    await populator.PopulateAsync([.. map.Remaining(int.MaxValue)], int.MaxValue, token);
                }
            }, stopping);
        }

        public async Task EndAsync()
        {
            await _stop.CancelAsync();
            await _running.ContinueWith(_ => { }, TaskScheduler.Default);
        }
    }
}
