using System.Globalization;

namespace StreamService.Benchmarks;

/// <summary>What to measure, from the command line.</summary>
/// <param name="What">stream, steps, cost, pace, impact, fairness, daemons, hub, dashboard, deploy, migrate, fleet, fleet-load or soak.</param>
/// <param name="Size">Of the disk, in bytes.</param>
/// <param name="Rounds">How often each is measured; the median counts.</param>
/// <param name="Formats">Of the overlay.</param>
/// <param name="Sources">Where the base is: "file", or nbdkit's delay of each read in milliseconds.</param>
/// <param name="Paces">In bytes per second.</param>
/// <param name="Count">How many daemons, deployments or machines at once.</param>
/// <param name="Minutes">How long a soak takes.</param>
internal sealed record BenchOptions(string What, long Size, int Rounds, IReadOnlyList<string> Formats, IReadOnlyList<string> Sources, IReadOnlyList<long> Paces, int Count, int Minutes)
{
    public const string Usage = """
        StreamService.Benchmarks stream|steps|cost|pace|impact|fairness|daemons|hub|dashboard|deploy|migrate|fleet|fleet-load|soak [options]
          stream   a full stream through the HTTP API against virsh blockpull --wait, in turn
          steps    single steps a second over one HTTP connection
          cost     the service's CPU seconds and peak memory for unthrottled streams
          pace     how well a bandwidth is kept, as the source sees it; block-stream's own speed beside it
          impact   what a guest (fio) feels: no stream, ours adaptive, block-stream at our mean speed, at full and fixed speeds
          fairness 50 streams under one budget in three priorities
          daemons  as many qemu-storage-daemons at once on one service, a stream of 256 KiB/s on each: pace, CPU, memory
          hub      clients of the hub that watch 100 streams: whether all get every change of state, how soon, the service's CPU and memory
          dashboard  10,000 streams on record, 200 of them live, in Chromium: how soon the page can be used, how it scrolls, its CPU
          deploy   a guest from a slow image: copied first and booted then, or deployed and streamed behind, sequential and hot first
          migrate  a guest that writes all the time goes to another host: libvirt's --copy-storage-all, and ours; needs root
          fleet    three replicas on PostgreSQL and Redis: killed at random while 50 domains of two hosts are streamed, and what live streams cost; needs root
          fleet-load  the second half of it
          soak     streams for a long time, started, changed, cancelled, their machines killed: whether the service grows; exit code 1 if so
        Options:
          --size MiB        of the disk (stream, steps 512; cost, pace 1024; impact 4096; fairness 256; daemons 32; hub 16; dashboard 64; fleet 192; deploy 2048; migrate 1024; soak 8)
          --rounds N        each is measured N times, the median counts (3; hub: 1, each is told; fleet: 10)
          --formats LIST    qcow2,qed (cost, steps, pace: qcow2)
          --sources LIST    file, or milliseconds that nbdkit delays each read (file,0,2,5,20; cost: file; deploy: 5)
          --paces LIST      KiB per second (pace: 64,1024,10240,51200,204800; fairness: 10240,51200,102400;
                            fleet: 1024,64 of the first and second part; deploy, the cap of the source: 51200; migrate, that of the link: 1 and 10 Gbit/s)
          --count N         daemons, and live streams of the dashboard (200); clients of the hub (1000); fleet, live streams at the most (500); deploy, at once (10); soak, machines (100)
          --minutes N       of a soak (30)
        Images go to TMPDIR, or else to /var/tmp.
        """;

    private static readonly string[] Benchmarks = ["stream", "steps", "cost", "pace", "impact", "fairness", "daemons", "hub", "dashboard", "deploy", "migrate", "fleet", "fleet-load", "soak"];

    /// <exception cref="FormatException">Not understood.</exception>
    public static BenchOptions Parse(string[] args)
    {
        var what = args[0];
        if (!Benchmarks.Contains(what))
            throw new FormatException($"There is no benchmark '{what}'.");
        var options = new BenchOptions(what,
            Size: what switch
            {
                "cost" or "pace" or "migrate" => 1L << 30,
                "impact" => 4L << 30,
                "deploy" => 2L << 30,
                "fairness" => 256L << 20,
                "daemons" => 32L << 20,
                "hub" => 16L << 20,
                "fleet" => 192L << 20,
                "dashboard" => 64L << 20,
                "soak" => 8L << 20,
                _ => 512L << 20,
            },
            Rounds: what == "hub" ? 1 : what == "fleet" ? 10 : 3,
            Formats: what == "stream" ? ["qcow2", "qed"] : ["qcow2"],
            Sources: what == "stream" ? ["file", "0", "2", "5", "20"] : what == "deploy" ? ["5"] : ["file"],
            Paces: what is "fleet" or "fleet-load" ? [1 << 20, 64 << 10] : what == "fairness" ? [10 << 20, 50 << 20, 100 << 20] : what == "deploy" ? [50 << 20] : what == "migrate" ? [125_000_000, 1_250_000_000] : [64 << 10, 1 << 20, 10 << 20, 50 << 20, 200 << 20],
            Count: what == "deploy" ? 10 : what == "soak" ? 100 : what == "hub" ? 1000 : what is "fleet" or "fleet-load" ? 500 : 200,
            Minutes: 30);
        for (var i = 1; i < args.Length; i += 2)
        {
            var value = i + 1 < args.Length ? args[i + 1] : throw new FormatException($"{args[i]} lacks its value.");
            options = args[i] switch
            {
                "--size" => options with { Size = Number(value) << 20 },
                "--rounds" => options with { Rounds = (int)Number(value) },
                "--formats" => options with { Formats = value.Split(',') },
                "--sources" => options with { Sources = value.Split(',') },
                "--minutes" => options with { Minutes = (int)Number(value) },
                "--count" => options with { Count = (int)Number(value) },
                "--paces" => options with { Paces = [.. value.Split(',').Select(pace => Number(pace) << 10)] },
                _ => throw new FormatException($"There is no option '{args[i]}'."),
            };
        }
        return options;
    }

    private static long Number(string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0
            ? number
            : throw new FormatException($"'{text}' is not a positive number.");
}
