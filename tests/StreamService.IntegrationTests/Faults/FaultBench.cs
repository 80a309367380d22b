using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>One row's own domain, source and service: a stream is brought to a moment, something fails, and the end is looked at.</summary>
internal sealed partial class FaultBench : IAsyncDisposable
{
    /// <summary>Slow enough that whatever happens happens in mid-stream.</summary>
    public const long Pace = 8L << 20;

    /// <summary>What the settings of a row start from: nothing waits for long.</summary>
    private static readonly Dictionary<string, string> Impatient = new()
    {
        ["StreamService__Streaming__RetryDelay"] = "00:00:00.3",
        ["StreamService__Streaming__RetryDelayLimit"] = "00:00:02",
        ["StreamService__Streaming__StalledAfter"] = "00:00:01.5",
    };

    private FaultBench(TestDomain domain, NbdkitServer? source, ServiceProcess service)
    {
        Domain = domain;
        Source = source!;
        Service = service;
    }

    public TestDomain Domain { get; }

    /// <summary>What serves the base, where it is not a file.</summary>
    public NbdkitServer Source { get; }

    public ServiceProcess Service { get; }

    public static async Task<FaultBench> StartAsync(FaultRow row)
    {
        NbdkitServer? source = null;
        var domain = await TestDomain.StartAsync(
            middle: false,
            kind: row.Kind,
            room: row.Room,
            reconnectDelay: row.ReconnectDelay,
            baseUri: row.ReconnectDelay is null ? null : async image =>
            {
                source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
                await source.StartAsync(row.Source(Path.GetDirectoryName(image)!));
                return source.Uri;
            });
        try
        {
            var settings = new Dictionary<string, string>(Impatient);
            foreach (var (name, value) in row.Settings(domain))
                settings[name] = value;
            return new FaultBench(domain, source, await ServiceProcess.StartAsync(settings));
        }
        catch
        {
            await domain.DisposeAsync();
            if (source is not null)
                await source.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts the stream.</summary>
    public Task BeginAsync(object? body = null) => Service.StartStreamAsync(Domain, body ?? new { mode = "full", bandwidth = Pace });

    /// <summary>Starts the stream, and returns when it is in the middle.</summary>
    public async Task BeginAndReachMiddleAsync(object? body = null)
    {
        await BeginAsync(body);
        await ReachMiddleAsync();
    }

    public Task ReachMiddleAsync() => Service.WaitForAsync(Domain, "the middle", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);

    public Task<JsonElement> WaitForAsync(string state) => Service.WaitForStateAsync(Domain, state, TimeSpan.FromMinutes(2));

    /// <summary>Waits until the stream waits, for that reason.</summary>
    public Task<JsonElement> WaitForWaitingAsync(string reason) => Service.WaitForAsync(Domain, $"waiting: {reason}", status =>
        status.GetProperty("state").GetString() == "waiting" && status.GetProperty("reason").GetString()!.Contains(reason, StringComparison.Ordinal), TimeSpan.FromMinutes(2));

    /// <summary>Waits until so many more bytes have come in: the stream does go on.</summary>
    public async Task WaitForProgressAsync()
    {
        var before = (await Service.StatusAsync(Domain)).GetProperty("bytesStreamed").GetInt64();
        await Service.WaitForAsync(Domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > before, TimeSpan.FromMinutes(2));
    }

    /// <summary>So slow from now on that it does not end within minutes.</summary>
    public Task SlowDownAsync() => Service.ChangeAsync(Domain, new { bandwidth = 128 << 10 });

    /// <summary>Lets it run at full speed to its end, stops the domain and compares every byte.</summary>
    public async Task FinishAsync()
    {
        await Service.HurryAsync(Domain);
        await WaitForAsync("completed");
        await CompareAsync(independent: true);
    }

    /// <param name="independent">Whether nothing must be left of the backing link; else the source must be there again.</param>
    public async Task CompareAsync(bool independent)
    {
        await Domain.StopAsync();
        if (independent)
            Assert.Null(await Domain.BackingFileAsync());
        await Domain.AssertIntactAsync(crashed: true);
    }

    /// <summary>Every state that the stream entered, with its reason, whichever process of the service it was in.</summary>
    public IReadOnlyList<(string State, string Reason)> Seen() => SeenIn(Service.LogText);

    /// <summary>The same, of any service that has one stream.</summary>
    public static IReadOnlyList<(string State, string Reason)> SeenIn(string log) =>
        [.. StateLine().Matches(log).Select(match => (match.Groups[1].Value.ToLowerInvariant(), match.Groups[2].Value.Replace("null", "", StringComparison.Ordinal).Trim()))];

    public static Task SignalAsync(int process, string signal) => Shell.RunAsync("kill", $"-{signal}", process.ToString(CultureInfo.InvariantCulture));

    public async ValueTask DisposeAsync()
    {
        await Service.DisposeAsync();
        await Domain.DisposeAsync();
        if (Source is not null)
            await Source.DisposeAsync();
    }

    [GeneratedRegex(@"Stream is (\w+): ?(.*)")]
    private static partial Regex StateLine();
}

/// <summary>One row of the table.</summary>
/// <param name="Fault">What fails.</param>
/// <param name="Moment">When.</param>
/// <param name="Expected">The states that must be seen, in this order, each perhaps with words of its reason after a colon; others may lie between.</param>
/// <param name="PlayAsync">Brings it about, and compares the bytes at the end.</param>
internal sealed record FaultRow(string Fault, string Moment, IReadOnlyList<string> Expected, Func<FaultBench, Task> PlayAsync)
{
    public DomainKind Kind { get; init; } = DomainKind.Libvirt;

    /// <summary>Bytes of the overlay's own file system; null: it has none.</summary>
    public long? Room { get; init; }

    /// <summary>Seconds that QEMU waits for a lost source; null: the base is a file.</summary>
    public int? ReconnectDelay { get; init; }

    /// <summary>Filters of the source, and their settings.</summary>
    /// <remarks>Gets the domain's folder.</remarks>
    public Func<string, string[]> Source { get; init; } = _ => [];

    /// <summary>Settings of the service.</summary>
    public Func<TestDomain, IReadOnlyDictionary<string, string>> Settings { get; init; } = _ => new Dictionary<string, string>();

    /// <summary>What is missing on this machine for it is told by skipping.</summary>
    public Action Require { get; init; } = () => { };
}
