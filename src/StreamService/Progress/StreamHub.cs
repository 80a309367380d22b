using Microsoft.AspNetCore.SignalR;
using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>What the hub calls on its clients.</summary>
public interface IStreamClient
{
    /// <summary>Progress, at most four times a second and stream.</summary>
    Task StreamProgress(StreamStatusView status);

    /// <summary>A stream entered a new state. Comes at once.</summary>
    Task StreamStateChanged(StreamStatusView status);

    /// <summary>A migration changed: its state and steps at once, its progress at most four times a second.</summary>
    Task MigrationChanged(MigrationView migration);
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
    /// <summary>Adds a subscription and returns the matching snapshots of streams that are not over, and of the newest that are.</summary>
    public async Task<IReadOnlyList<StreamStatusView>> Subscribe(StreamSubscription? subscription)
    {
        subscription ??= new StreamSubscription();
        // First the subscription, then the snapshot: so nothing is missed between the two.
        subscribers.Add(Context.ConnectionId, subscription);
        var finished = await manager.ListAsync(new(Host: subscription.Host), after: null, limit: 200, Context.ConnectionAborted);
        return [.. finished.Concat(manager.ListActive())
            .Where(subscription.Matches)
            .DistinctBy(status => status.StreamId)
            .OrderByDescending(status => status.CreatedAt)
            .Select(StreamStatusView.From)];
    }

    /// <summary>Adds a subscription to migrations and returns those of the newest that match.</summary>
    public async Task<IReadOnlyList<MigrationView>> SubscribeMigrations(MigrationSubscription? subscription)
    {
        subscription ??= new MigrationSubscription();
        subscribers.Add(Context.ConnectionId, subscription);
        var newest = await migrations.ListAsync(new MigrationFilter(Host: subscription.Host), after: null, limit: 200, Context.ConnectionAborted);
        return [.. newest.Where(subscription.Matches).Select(MigrationView.From)];
    }

    /// <summary>Ends all subscriptions of this connection.</summary>
    public Task Unsubscribe()
    {
        subscribers.Remove(Context.ConnectionId);
        return Task.CompletedTask;
    }

    public override Task OnDisconnectedAsync(Exception? exception)
    {
        subscribers.Remove(Context.ConnectionId);
        return base.OnDisconnectedAsync(exception);
    }
}
