using Microsoft.AspNetCore.SignalR;
using StreamService.Migrations;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>What the hub calls on its clients.</summary>
public interface IStreamClient
{
    /// <summary>Progress, at most four times a second and stream.</summary>
    /// <param name="status">A <see cref="StreamStatusView"/>.</param>
    Task StreamProgress(WrittenJson status);

    /// <summary>A stream entered a new state. Comes at once.</summary>
    /// <param name="status">A <see cref="StreamStatusView"/>.</param>
    Task StreamStateChanged(WrittenJson status);

    /// <summary>A migration changed: its state and steps at once, its progress at most four times a second.</summary>
    /// <param name="migration">A <see cref="MigrationView"/>.</param>
    Task MigrationChanged(WrittenJson migration);
}

/// <summary>Which streams a client wants to hear of; members left out do not restrict.</summary>
/// <param name="Host">The configured name of a host.</param>
/// <param name="Domain">A domain's UUID or name.</param>
/// <param name="Disk">A disk's target.</param>
/// <param name="Progress">Whether progress is wanted too, or changes of state alone; <see cref="StreamHub.Watch"/> adds that of some.</param>
/// <param name="Snapshots">Whether the subscription begins with snapshots; a page that lists streams by itself needs none.</param>
public sealed record StreamSubscription(string? Host = null, string? Domain = null, string? Disk = null, bool Progress = true, bool Snapshots = true)
{
    /// <summary>Whether a stream is meant.</summary>
    public bool Matches(StreamStatus status) =>
        (Host is null || Host == status.Disk.Host)
        && (Domain is null || IsDomain(status))
        && (Disk is null || Disk == status.Disk.Target);

    private bool IsDomain(StreamStatus status) =>
        Guid.TryParse(Domain, out var id) ? id == status.Disk.Domain : Domain == status.DomainName;
}

/// <summary>Which migrations a client wants to hear of; members left out do not restrict.</summary>
/// <param name="Host">The configured name of a host, as source or destination.</param>
/// <param name="Domain">A domain's UUID or name.</param>
public sealed record MigrationSubscription(string? Host = null, string? Domain = null)
{
    /// <summary>Whether a migration is meant.</summary>
    public bool Matches(MigrationStatus status) =>
        (Host is null || Host == status.Source || Host == status.Spec.Destination)
        && (Domain is null || (Guid.TryParse(Domain, out var id) ? id == status.Domain : Domain == status.DomainName));
}

/// <summary>
/// <c>/hubs/streams</c>: a client subscribes, receives the snapshots there are, then every change. The generation in each
/// status tells which of two is the later.
/// </summary>
public sealed class StreamHub(StreamManager manager, MigrationManager migrations, Subscribers subscribers) : Hub<IStreamClient>
{
    /// <summary>How many that are over a subscription begins with, and how many pages of so many are searched for them.</summary>
    private const int Newest = 200, MostPages = 50;

    /// <summary>How many streams a connection can watch: more than any window shows.</summary>
    public const int MostWatched = 500;

    /// <summary>Adds a subscription and returns the matching snapshots of streams that are not over, and of the newest that are.</summary>
    public async Task<IReadOnlyList<StreamStatusView>> Subscribe(StreamSubscription? subscription)
    {
        subscription ??= new StreamSubscription();
        // First the subscription, then the snapshot: so nothing is missed between the two.
        var caller = Caller.Of(Context.User!);
        subscribers.Add(Context.ConnectionId, caller, Context.Abort, subscription);
        if (!subscription.Snapshots)
            return [];
        var filter = caller.Within(new StreamFilter(Host: subscription.Host, Domain: Guid.TryParse(subscription.Domain, out var domain) ? domain : null));
        var newest = await ReadNewestAsync<StreamListing, StreamPosition>(
            (after, count) => manager.ListAsync(filter, StreamOrdering.Newest, after, count, Context.ConnectionAborted),
            listed => listed.Position,
            listed => subscription.Matches(listed.Status));
        return [.. newest.Select(listed => listed.Status).Concat(manager.ListActive().Where(status => subscription.Matches(status) && caller.Sees(status)))
            .DistinctBy(status => status.StreamId)
            .OrderByDescending(status => status.CreatedAt)
            .Select(StreamStatusView.From)];
    }

    /// <summary>
    /// Has the client hear of the progress of these streams, and of no others that an earlier call named: those that its window shows.
    /// Returns their snapshots; ids that name no stream are passed over.
    /// </summary>
    /// <exception cref="HubException">They are more than <see cref="MostWatched"/>.</exception>
    public async Task<IReadOnlyList<StreamStatusView>> Watch(IReadOnlyList<Guid> streams)
    {
        if (streams.Count > MostWatched)
            throw new HubException($"At most {MostWatched} streams can be watched at once; were {streams.Count}.");
        var caller = Caller.Of(Context.User!);
        subscribers.Watch(Context.ConnectionId, caller, Context.Abort, streams);
        return [.. (await manager.FindAllAsync(streams, Context.ConnectionAborted)).Where(caller.Sees).Select(StreamStatusView.From)];
    }

    /// <summary>Adds a subscription to migrations and returns those of the newest that match.</summary>
    public async Task<IReadOnlyList<MigrationView>> SubscribeMigrations(MigrationSubscription? subscription)
    {
        subscription ??= new MigrationSubscription();
        var caller = Caller.Of(Context.User!);
        subscribers.Add(Context.ConnectionId, caller, Context.Abort, subscription);
        var newest = await ReadNewestAsync<MigrationStatus, PagePosition>(
            (after, count) => migrations.ListAsync(new MigrationFilter(Host: subscription.Host), after, count, Context.ConnectionAborted),
            status => new PagePosition(status.CreatedAt, status.MigrationId),
            status => subscription.Matches(status) && caller.Sees(status));
        return [.. newest.Select(MigrationView.From)];
    }

    /// <summary>The newest that match, however many others lie between them; within bounds, for the records may be many.</summary>
    private static async Task<IReadOnlyList<T>> ReadNewestAsync<T, TPosition>(Func<TPosition?, int, Task<IReadOnlyList<T>>> list, Func<T, TPosition> positionOf, Func<T, bool> matches)
        where TPosition : class
    {
        var newest = new List<T>();
        TPosition? after = null;
        for (var page = 0; page < MostPages && newest.Count < Newest; page++)
        {
            var read = await list(after, Newest);
            newest.AddRange(read.Where(matches).Take(Newest - newest.Count));
            if (read.Count < Newest)
                break;
            after = positionOf(read[^1]);
        }
        return newest;
    }

    /// <summary>Ends all subscriptions of this connection. What was on its way has been sent when it answers.</summary>
    public Task Unsubscribe() => subscribers.RemoveAsync(Context.ConnectionId);

    public override Task OnDisconnectedAsync(Exception? exception)
    {
        _ = subscribers.RemoveAsync(Context.ConnectionId);
        return base.OnDisconnectedAsync(exception);
    }
}
