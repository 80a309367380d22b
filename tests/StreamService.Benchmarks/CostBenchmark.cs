using System.Globalization;

namespace StreamService.Benchmarks;

/// <summary>What a full, unthrottled stream costs the service itself: CPU time and the peak of its memory.</summary>
internal static class CostBenchmark
{
    public static async Task RunAsync(Workbench bench)
    {
        var options = bench.Options;
        var table = new MarkdownTable("overlay", "base", "round", "wall, s", "service CPU, s", "CPU s/GiB", "CPU of wall, %", "VmHWM, MiB");
        var shares = new List<double>();
        foreach (var format in options.Formats)
            foreach (var name in options.Sources)
            {
                await using var source = await BaseSource.StartAsync(bench, name);
                for (var round = 0; round <= options.Rounds; round++)
                {
                    await using var domain = await BenchDomain.StartAsync(bench, format, source);
                    var process = new ProcessFigures(bench.Service.ProcessId);
                    var before = process.CpuTime;
                    var wall = (await Sample.TimeAsync(domain.StreamAsync)).TotalSeconds;
                    var cpu = (process.CpuTime - before).TotalSeconds;
                    // The first round compiles the service's code: it is shown, and not counted.
                    if (round > 0)
                        shares.Add(cpu / wall * 100);
                    table.Add(format, BaseSource.Name(name), round == 0 ? "first" : $"{round}", Text(wall, "0.000"), Text(cpu, "0.000"),
                        Text(cpu / options.Size * (1 << 30), "0.000"), Text(cpu / wall * 100, "0.0"),
                        Text(process.PeakMemory / (double)(1 << 20), "0"));
                }
            }
        Console.WriteLine($"{options.Size >> 20} MiB, unthrottled; median {Text(Sample.Median(shares), "0.0")} % of wall.");
        table.Print();
    }

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
