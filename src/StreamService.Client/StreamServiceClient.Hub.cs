using System.Runtime.CompilerServices;

namespace StreamService.Client;

public sealed partial class StreamServiceClient
{
    /// <summary>Connects to the hub, for several subscriptions at once or word of the connection itself.</summary>
    /// <exception cref="HttpRequestException">The service cannot be reached.</exception>
    /// <exception cref="StreamServiceException">It does not let the caller in.</exception>
    public Task<StreamWatch> ConnectHubAsync(CancellationToken cancellationToken = default) => StreamWatch.ConnectAsync(_api, cancellationToken);

    /// <summary>Streams as they change: first a snapshot of each, then every change of state and some progress. Rides out lost connections; ends only when it is told to.</summary>
    /// <param name="subscription">Which; null for all.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async IAsyncEnumerable<StreamUpdate> WatchAsync(StreamSubscription? subscription = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await using var watch = await ConnectHubAsync(cancellationToken);
        foreach (var status in await watch.SubscribeAsync(subscription, cancellationToken))
            yield return new StreamUpdate(status, StreamUpdateKind.Snapshot);
        await foreach (var update in watch.ReadStreamsAsync(cancellationToken))
            yield return update;
    }

    /// <summary>Migrations as they change, those that there are first.</summary>
    /// <param name="subscription">Which; null for all.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async IAsyncEnumerable<Migration> WatchMigrationsAsync(MigrationSubscription? subscription = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await using var watch = await ConnectHubAsync(cancellationToken);
        foreach (var migration in await watch.SubscribeMigrationsAsync(subscription, cancellationToken))
            yield return migration;
        await foreach (var migration in watch.ReadMigrationsAsync(cancellationToken))
            yield return migration;
    }
}
