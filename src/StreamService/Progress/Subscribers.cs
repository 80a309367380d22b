using System.Collections.Concurrent;
using System.Collections.Immutable;
using StreamService.Migrations;
using StreamService.Security;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>Which connection of the hub wants to hear of which streams and migrations.</summary>
public sealed class Subscribers
{
    private readonly ConcurrentDictionary<string, Caller> _callers = new();
    private readonly ConcurrentDictionary<string, ImmutableHashSet<StreamSubscription>> _streams = new();
    private readonly ConcurrentDictionary<string, ImmutableHashSet<MigrationSubscription>> _migrations = new();

    /// <summary>How many connections have subscribed to anything.</summary>
    public int Count => _callers.Count;

    public void Add(string connection, Caller caller, StreamSubscription subscription)
    {
        _callers[connection] = caller;
        _streams.AddOrUpdate(connection, _ => [subscription], (_, all) => all.Add(subscription));
    }

    public void Add(string connection, Caller caller, MigrationSubscription subscription)
    {
        _callers[connection] = caller;
        _migrations.AddOrUpdate(connection, _ => [subscription], (_, all) => all.Add(subscription));
    }

    public void Remove(string connection)
    {
        _streams.TryRemove(connection, out _);
        _migrations.TryRemove(connection, out _);
        _callers.TryRemove(connection, out _);
    }

    /// <summary>The connections that a stream concerns, each once.</summary>
    public IReadOnlyList<string> For(StreamStatus status) =>
        Of(_streams, caller => caller.Sees(status), subscription => subscription.Matches(status));

    /// <summary>The connections that a migration concerns, each once.</summary>
    public IReadOnlyList<string> For(MigrationStatus status) =>
        Of(_migrations, caller => caller.Sees(status), subscription => subscription.Matches(status));

    private List<string> Of<T>(ConcurrentDictionary<string, ImmutableHashSet<T>> all, Func<Caller, bool> sees, Func<T, bool> matches) =>
        [.. all.Where(connection => connection.Value.Any(matches) && _callers.TryGetValue(connection.Key, out var caller) && sees(caller)).Select(connection => connection.Key)];
}
