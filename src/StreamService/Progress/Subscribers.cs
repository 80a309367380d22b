using System.Collections.Concurrent;
using System.Collections.Immutable;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>Which connection of the hub wants to hear of which streams.</summary>
public sealed class Subscribers
{
    private readonly ConcurrentDictionary<string, ImmutableHashSet<StreamSubscription>> _byConnection = new();

    public void Add(string connection, StreamSubscription subscription) =>
        _byConnection.AddOrUpdate(connection, _ => [subscription], (_, all) => all.Add(subscription));

    public void Remove(string connection) => _byConnection.TryRemove(connection, out _);

    /// <summary>The connections that a stream concerns, each once.</summary>
    public IReadOnlyList<string> For(StreamStatus status)
    {
        var connections = new List<string>();
        foreach (var (connection, subscriptions) in _byConnection)
            if (subscriptions.Any(subscription => subscription.Matches(status)))
                connections.Add(connection);
        return connections;
    }
}
