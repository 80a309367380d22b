using System.Globalization;

namespace StreamService.Benchmarks;

/// <summary>What a full, unthrottled stream costs the service itself: CPU time and the peak of its memory.</summary>
/// <remarks>
/// The first streams of a service make the runtime compile its code, twice over for what is hot, which takes longer than
/// the streams themselves. They are streamed and not counted: what is of interest is a service that has run for a while.
/// </remarks>
internal static class CostBenchmark
{
    private const int UncountedStreams = 12;

    public static async Task RunAsync(Workbench bench)
    {
        var options = bench.Options;
        var table = new MarkdownTable("overlay", "base", "round", "wall, s", "service CPU, s", "CPU s/GiB", "CPU of wall, %", "VmHWM, MiB");
        var shares = new List<double>();
        for (var i = 0; i < UncountedStreams; i++)
            await bench.WarmUpAsync();
        foreach (var format in options.Formats)
            foreach (var name in options.Sources)
            {
                await using var source = await BaseSource.StartAsync(bench, name);
                for (var round = 1; round <= options.Rounds; round++)
                {
                    await using var domain = await BenchDomain.StartAsync(bench, format, source);
                    var process = new ProcessFigures(bench.Service.ProcessId);
                    var before = process.CpuTime;
                    var wall = (await Sample.TimeAsync(domain.StreamAsync)).TotalSeconds;
                    var cpu = (process.CpuTime - before).TotalSeconds;
                    shares.Add(cpu / wall * 100);
                    table.Add(format, BaseSource.Name(name), $"{round}", Text(wall, "0.000"), Text(cpu, "0.000"),
                        Text(cpu / options.Size * (1 << 30), "0.000"), Text(cpu / wall * 100, "0.0"),
                        Text(process.PeakMemory / (double)(1 << 20), "0"));
                }
            }
        Console.WriteLine($"{options.Size >> 20} MiB, unthrottled; median {Text(Sample.Median(shares), "0.0")} % of wall.");
        table.Print();
    }

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
