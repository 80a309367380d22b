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
public sealed record StreamSubscription(string? Host = null, string? Domain = null, string? Disk = null)
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

    /// <summary>Adds a subscription and returns the matching snapshots of streams that are not over, and of the newest that are.</summary>
    public async Task<IReadOnlyList<StreamStatusView>> Subscribe(StreamSubscription? subscription)
    {
        subscription ??= new StreamSubscription();
        // First the subscription, then the snapshot: so nothing is missed between the two.
        var caller = Caller.Of(Context.User!);
        subscribers.Add(Context.ConnectionId, caller, Context.Abort, subscription);
        var filter = new StreamFilter(Host: subscription.Host, Domain: Guid.TryParse(subscription.Domain, out var domain) ? domain : null);
        var newest = await ReadNewestAsync(
            (after, count) => manager.ListAsync(filter, after, count, Context.ConnectionAborted),
            status => new PagePosition(status.CreatedAt, status.StreamId),
            status => subscription.Matches(status) && caller.Sees(status));
        return [.. newest.Concat(manager.ListActive().Where(status => subscription.Matches(status) && caller.Sees(status)))
            .DistinctBy(status => status.StreamId)
            .OrderByDescending(status => status.CreatedAt)
            .Select(StreamStatusView.From)];
    }

    /// <summary>Adds a subscription to migrations and returns those of the newest that match.</summary>
    public async Task<IReadOnlyList<MigrationView>> SubscribeMigrations(MigrationSubscription? subscription)
    {
        subscription ??= new MigrationSubscription();
        var caller = Caller.Of(Context.User!);
        subscribers.Add(Context.ConnectionId, caller, Context.Abort, subscription);
        var newest = await ReadNewestAsync(
            (after, count) => migrations.ListAsync(new MigrationFilter(Host: subscription.Host), after, count, Context.ConnectionAborted),
            status => new PagePosition(status.CreatedAt, status.MigrationId),
            status => subscription.Matches(status) && caller.Sees(status));
        return [.. newest.Select(MigrationView.From)];
    }

    /// <summary>The newest that match, however many others lie between them; within bounds, for the records may be many.</summary>
    private static async Task<IReadOnlyList<T>> ReadNewestAsync<T>(Func<PagePosition?, int, Task<IReadOnlyList<T>>> list, Func<T, PagePosition> positionOf, Func<T, bool> matches)
    {
        var newest = new List<T>();
        PagePosition? after = null;
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
