using System.Collections.Immutable;
using StreamService.Migrations;
using StreamService.Security;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>
/// One connection of the hub: what it wants to hear of, and what is on its way to it. It takes what it can: a connection that is slow, or
/// has stopped reading, holds up no other, and of progress it gets the latest.
/// </summary>
internal sealed class Subscriber(Caller caller, IStreamClient client, Action abort)
{
    /// <summary>Changes that wait for a connection; beyond that it is ended, to come back and begin with snapshots.</summary>
    private const int MostWaiting = 10_000;

    private readonly Lock _lock = new();
    private readonly Queue<HubPicture> _changes = new();
    private readonly Queue<Guid> _order = new();
    private readonly Dictionary<Guid, HubPicture> _progress = [];
    private ImmutableHashSet<StreamSubscription> _streams = [];
    private ImmutableHashSet<MigrationSubscription> _migrations = [];
    private ImmutableHashSet<Guid> _watched = [];
    private Task _sending = Task.CompletedTask;
    private bool _aborted;

    public void Add(StreamSubscription subscription) => _streams = _streams.Add(subscription);

    public void Add(MigrationSubscription subscription) => _migrations = _migrations.Add(subscription);

    public void Watch(IEnumerable<Guid> streams) => _watched = [.. streams];

    /// <param name="stateChanged">Whether its state is a new one, or it is only further on.</param>
    public bool Wants(StreamStatus status, bool stateChanged)
    {
        if (_watched.Contains(status.StreamId))
            return caller.Sees(status);
        foreach (var subscription in _streams)
            if ((stateChanged || subscription.Progress) && subscription.Matches(status))
                return caller.Sees(status);
        return false;
    }

    public bool Wants(MigrationStatus status)
    {
        foreach (var subscription in _migrations)
            if (subscription.Matches(status))
                return caller.Sees(status);
        return false;
    }

    /// <summary>Puts a picture on its way.</summary>
    public void Post(HubPicture picture)
    {
        lock (_lock)
        {
            if (_aborted)
                return;
            if (picture.AtOnce)
            {
                // What was passing before it has passed.
                _progress.Remove(picture.Of);
                _changes.Enqueue(picture);
                if (_changes.Count > MostWaiting)
                {
                    _aborted = true;
                    abort();
                    return;
                }
            }
            else
            {
                if (!_progress.ContainsKey(picture.Of))
                    _order.Enqueue(picture.Of);
                _progress[picture.Of] = picture;
            }
            if (_sending.IsCompleted)
                _sending = Task.Run(SendAsync);
        }
    }

    /// <summary>Completes once all that was posted until now has been sent.</summary>
    public Task WhenSentAsync()
    {
        lock (_lock)
            return _sending;
    }

    private async Task SendAsync()
    {
        while (TryTake() is { } picture)
            await picture.Send(client);
    }

    /// <summary>Changes first, in their order; then progress, each stream in its turn.</summary>
    private HubPicture? TryTake()
    {
        lock (_lock)
        {
            if (_changes.TryDequeue(out var change))
                return change;
            while (_order.TryDequeue(out var of))
                if (_progress.Remove(of, out var progress))
                    return progress;
            // Whoever posts from here on begins anew.
            _sending = Task.CompletedTask;
            return null;
        }
    }
}
