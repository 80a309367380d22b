using System.Collections.Immutable;
using Microsoft.AspNetCore.SignalR;
using StreamService.Migrations;
using StreamService.Security;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>The connections of the hub that subscribed to something.</summary>
public sealed class Subscribers(IHubContext<StreamHub, IStreamClient> hub)
{
    private readonly Lock _lock = new();
    private ImmutableDictionary<string, Subscriber> _all = ImmutableDictionary<string, Subscriber>.Empty;

    /// <summary>How many connections have subscribed to anything.</summary>
    public int Count => Volatile.Read(ref _all).Count;

    /// <summary>A connection wants to hear of streams.</summary>
    /// <param name="abort">Ends the connection.</param>
    public void Add(string connection, Caller caller, Action abort, StreamSubscription subscription)
    {
        lock (_lock)
            Get(connection, caller, abort).Add(subscription);
    }

    /// <summary>A connection wants to hear of migrations.</summary>
    /// <param name="abort">Ends the connection.</param>
    public void Add(string connection, Caller caller, Action abort, MigrationSubscription subscription)
    {
        lock (_lock)
            Get(connection, caller, abort).Add(subscription);
    }

    /// <summary>Names the streams whose progress a connection wants, beside its subscriptions; those that it named before count no more.</summary>
    /// <param name="abort">Ends the connection.</param>
    public void Watch(string connection, Caller caller, Action abort, IEnumerable<Guid> streams)
    {
        lock (_lock)
            Get(connection, caller, abort).Watch(streams);
    }

    /// <summary>The connection wants to hear of nothing any more. Completes once all that was on its way has been sent.</summary>
    public Task RemoveAsync(string connection)
    {
        lock (_lock)
        {
            if (!_all.TryGetValue(connection, out var subscriber))
                return Task.CompletedTask;
            _all = _all.Remove(connection);
            return subscriber.WhenSentAsync();
        }
    }

    /// <summary>Puts a picture on its way to each connection that wants it; it is made only where one does.</summary>
    /// <param name="stateChanged">Whether its state is a new one, or it is only further on.</param>
    /// <returns>How many do.</returns>
    internal int Post(StreamStatus status, bool stateChanged, Func<HubPicture> make) => Post(subscriber => subscriber.Wants(status, stateChanged), make);

    /// <inheritdoc cref="Post(StreamStatus, bool, Func{HubPicture})"/>
    internal int Post(MigrationStatus status, Func<HubPicture> make) => Post(subscriber => subscriber.Wants(status), make);

    private int Post(Func<Subscriber, bool> wants, Func<HubPicture> make)
    {
        // Under the lock, so that who unsubscribes knows what is on its way.
        lock (_lock)
        {
            HubPicture? picture = null;
            var count = 0;
            foreach (var (_, subscriber) in _all)
                if (wants(subscriber))
                {
                    subscriber.Post(picture ??= make());
                    count++;
                }
            return count;
        }
    }

    private Subscriber Get(string connection, Caller caller, Action abort)
    {
        if (!_all.TryGetValue(connection, out var subscriber))
            _all = _all.Add(connection, subscriber = new Subscriber(caller, hub.Clients.Client(connection), abort));
        return subscriber;
    }
}
