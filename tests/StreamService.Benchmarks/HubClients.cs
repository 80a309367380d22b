using System.Globalization;
using System.Text.Json;
using StreamService.Client;

namespace StreamService.Benchmarks;

/// <summary>A change of state as many clients saw it.</summary>
/// <param name="UpdatedAt">When it was made, by the service.</param>
/// <param name="Arrivals">When it was read, each in milliseconds after that.</param>
internal sealed record SeenChange(Guid Stream, long Generation, StreamState State, DateTimeOffset UpdatedAt, IReadOnlyList<float> Arrivals);

/// <summary>What the clients of a hub benchmark saw.</summary>
/// <param name="Missing">Changes of state that one client got and another did not, over all clients.</param>
/// <param name="Reconnects">How often a client lost its connection.</param>
/// <param name="ProgressMessages">In all.</param>
/// <param name="ProgressLatency">From the service's picture to its reader, in milliseconds, by <see cref="HubClients.Quantiles"/>.</param>
internal sealed record HubFigures(int Missing, int Reconnects, IReadOnlyList<SeenChange> Changes, long ProgressMessages, IReadOnlyList<double> ProgressLatency);

/// <summary>
/// The other end of the hub benchmark, a process of its own: many clients of the library, each with a connection of its own. Says
/// "ready" when all have their snapshots, and what they saw when its standard input ends.
/// </summary>
internal static class HubClients
{
    /// <summary>The fractions that are told of a latency.</summary>
    public static readonly double[] Quantiles = [0.5, 0.99, 1];

    private sealed class Seen
    {
        public List<(Guid Stream, long Generation, StreamState State, DateTimeOffset UpdatedAt, float Arrival)> Changes { get; } = [];

        public List<float> Progress { get; } = [];
    }

    /// <param name="args">The service's address, how many clients, and the domains of which each client watches one in turn; none: all watch all.</param>
    public static async Task RunAsync(string[] args)
    {
        var count = int.Parse(args[1], CultureInfo.InvariantCulture);
        using var service = new StreamServiceClient(args[0]);
        var clients = new List<(StreamWatch Watch, Seen Seen, Task Reading)>();
        var reconnects = 0;
        for (var i = 0; i < count; i++)
        {
            var watch = await service.ConnectHubAsync();
            watch.StateChanged += (state, _) =>
            {
                if (state == WatchState.Reconnecting)
                    Interlocked.Increment(ref reconnects);
            };
            await watch.SubscribeAsync(new StreamSubscription(Domain: args.Length > 2 ? args[2 + (i % (args.Length - 2))] : null));
            var seen = new Seen();
            clients.Add((watch, seen, ReadAsync(watch, seen)));
        }
        await Console.Out.WriteLineAsync("ready");
        while (await Console.In.ReadLineAsync() is not null)
        {
        }
        foreach (var (watch, _, reading) in clients)
        {
            // What was sent before has arrived when it returns.
            await watch.UnsubscribeAsync();
            await watch.DisposeAsync();
            await reading;
        }
        await Console.Out.WriteLineAsync(JsonSerializer.Serialize(Figures([.. clients.Select(client => client.Seen)], perDomain: args.Length > 2, reconnects)));
    }

    private static async Task ReadAsync(StreamWatch watch, Seen seen)
    {
        await foreach (var (status, kind) in watch.ReadStreamsAsync())
        {
            var latency = (float)(TimeProvider.System.GetUtcNow() - status.UpdatedAt!.Value).TotalMilliseconds;
            if (kind == StreamUpdateKind.StateChanged)
                seen.Changes.Add((status.StreamId!.Value, status.Generation, status.State, status.UpdatedAt.Value, latency));
            else if (kind == StreamUpdateKind.Progress)
                seen.Progress.Add(latency);
        }
    }

    private static HubFigures Figures(IReadOnlyList<Seen> all, bool perDomain, int reconnects)
    {
        var changes = all.SelectMany(seen => seen.Changes).GroupBy(change => (change.Stream, change.Generation, change.State, change.UpdatedAt))
            .Select(group => new SeenChange(group.Key.Stream, group.Key.Generation, group.Key.State, group.Key.UpdatedAt, [.. group.Select(change => change.Arrival)])).ToList();
        // Of the streams that a client watches: all, or those that it saw anything of.
        var missing = all.Sum(seen =>
        {
            var streams = seen.Changes.Select(change => change.Stream).ToHashSet();
            return changes.Count(change => !perDomain || streams.Contains(change.Stream)) - seen.Changes.Select(change => (change.Stream, change.Generation)).Distinct().Count();
        });
        var progress = all.SelectMany(seen => seen.Progress).Select(latency => (double)latency).ToArray();
        return new HubFigures(missing, reconnects, changes, progress.Length, progress.Length == 0 ? [0, 0, 0] : [.. Quantiles.Select(fraction => Sample.Quantile(progress, fraction))]);
    }
}
