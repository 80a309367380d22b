using System.Globalization;
using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Libvirt;

namespace StreamService.Benchmarks;

/// <summary>
/// A full stream through the HTTP API against <c>virsh blockpull --wait</c>, in turn on like domains. Ours lasts from the
/// POST until a long-poll says <c>completed</c>: both flushes are in it. The peer never flushes.
/// </summary>
/// <remarks>
/// <c>virsh --wait</c> looks for the job's end twice a second. So the peer has two times: until virsh returns, and until the
/// job's completed event, less what a virsh takes that only asks for the domain's number: the time of the job itself.
/// </remarks>
internal static class StreamBenchmark
{
    public static async Task RunAsync(Workbench bench)
    {
        var options = bench.Options;
        await bench.WarmUpAsync();
        var table = new MarkdownTable("overlay", "base", "stream, s", "MiB/s", "virsh blockpull --wait, s", "its job alone, s", "ratio to virsh", "ratio to the job", "ratios, each round");
        foreach (var format in options.Formats)
            foreach (var source in options.Sources)
            {
                await using var from = await BaseSource.StartAsync(bench, source);
                var ours = new List<double>();
                var virsh = new List<double>();
                var job = new List<double>();
                for (var round = 0; round < options.Rounds; round++)
                {
                    // Whoever comes second finds the base in the page cache in any case: the warm-up read it.
                    ours.Add(await StreamAsync(bench, format, from));
                    var (whole, alone) = await PullAsync(bench, format, from);
                    virsh.Add(whole);
                    job.Add(alone);
                }
                var time = Sample.Median(ours);
                table.Add(format, BaseSource.Name(source), Seconds(time), Text(options.Size / time / (1 << 20), "0"),
                    Seconds(Sample.Median(virsh)), Seconds(Sample.Median(job)),
                    Text(Sample.Median(virsh) / time, "0.00"), Text(Sample.Median(job) / time, "0.00"),
                    string.Join(", ", job.Zip(ours, (peer, own) => Text(peer / own, "0.00"))));
            }
        Console.WriteLine($"{options.Size >> 20} MiB, median of {options.Rounds}, in turn; ratios above 1: we are sooner.");
        table.Print();
    }

    private static async Task<double> StreamAsync(Workbench bench, string format, BaseSource source)
    {
        await using var domain = await BenchDomain.StartAsync(bench, format, source);
        return (await Sample.TimeAsync(domain.StreamAsync)).TotalSeconds;
    }

    private static async Task<(double Virsh, double Job)> PullAsync(Workbench bench, string format, BaseSource source)
    {
        await using var domain = await BenchDomain.StartAsync(bench, format, source);
        var startOfVirsh = await Sample.TimeAsync(() => TestDomain.VirshAsync("domid", domain.Name));
        using var events = bench.Libvirt.Subscribe();
        var begun = TimeProvider.System.GetTimestamp();
        var completed = CompletedAsync(events, domain.Id);
        await TestDomain.VirshAsync("blockpull", domain.Name, "vda", "--wait");
        var virsh = TimeProvider.System.GetElapsedTime(begun);
        var job = TimeProvider.System.GetElapsedTime(begun, await completed) - startOfVirsh;
        return (virsh.TotalSeconds, job.TotalSeconds);
    }

    /// <summary>When the job's completed event came.</summary>
    private static async Task<long> CompletedAsync(LibvirtSubscription events, Guid domain)
    {
        await foreach (var happened in events.Reader.ReadAllAsync())
            if (happened is BlockJobEvent job && job.Uuid == domain)
                return job.Status == BlockJobStatus.Completed
                    ? TimeProvider.System.GetTimestamp()
                    : throw new InvalidOperationException($"The pull ended as {job.Status}.");
        throw new InvalidOperationException("The connection to libvirt was lost.");
    }

    private static string Seconds(double seconds) => Text(seconds, "0.000");

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
