using System.Net;
using System.Net.Http.Headers;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Http.Connections;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.Extensions.DependencyInjection;
using StreamService.Client.Json;

namespace StreamService.Client;

/// <summary>
/// A connection to the hub: tells of streams and migrations that one subscribed to, as they change. Where it is lost it connects and
/// subscribes again by itself, with what changed meanwhile as snapshots; no picture is older than one before it.
/// </summary>
public sealed class StreamWatch : IAsyncDisposable
{
    private readonly ApiConnection _api;
    private readonly HubConnection _hub;
    private readonly SemaphoreSlim _subscribing = new(1, 1);
    private readonly List<StreamSubscription> _streamSubscriptions = [];
    private readonly List<MigrationSubscription> _migrationSubscriptions = [];
    private readonly LatestFirst<StreamStatus> _streams = new();
    private readonly LatestFirst<Migration> _migrations = new();

    private StreamWatch(ApiConnection api)
    {
        _api = api;
        _hub = new HubConnectionBuilder()
            .WithUrl(new Uri(api.BaseAddress, "hubs/streams"), options =>
            {
                // Nothing is negotiated, so that behind several replicas all requests need not reach the same one.
                options.SkipNegotiation = true;
                options.Transports = HttpTransportType.WebSockets;
                options.WebSocketFactory = async (context, cancellationToken) => await OpenAsync(context.Uri, cancellationToken);
            })
            .WithAutomaticReconnect(new Patience())
            .AddJsonProtocol(options => ApiJson.Configure(options.PayloadSerializerOptions))
            .Build();
        _hub.On<StreamStatus>("StreamProgress", status => Add(status, StreamUpdateKind.Progress));
        _hub.On<StreamStatus>("StreamStateChanged", status => Add(status, StreamUpdateKind.StateChanged));
        _hub.On<Migration>("MigrationChanged", Add);
        _hub.Reconnecting += error =>
        {
            StateChanged?.Invoke(WatchState.Reconnecting, error);
            return Task.CompletedTask;
        };
        _hub.Reconnected += _ => SubscribeAgainAsync();
        _hub.Closed += error =>
        {
            Complete(error);
            return Task.CompletedTask;
        };
    }

    /// <summary>The connection was lost, is back with all subscriptions, or over; with the error where there is one.</summary>
    public event Action<WatchState, Exception?>? StateChanged;

    /// <exception cref="HttpRequestException">The service cannot be reached.</exception>
    /// <exception cref="StreamServiceException">It does not let the caller in.</exception>
    internal static async Task<StreamWatch> ConnectAsync(ApiConnection api, CancellationToken cancellationToken)
    {
        var watch = new StreamWatch(api);
        try
        {
            await watch._hub.StartAsync(cancellationToken);
            return watch;
        }
        catch
        {
            await watch.DisposeAsync();
            throw;
        }
    }

    /// <summary>Hears of more streams from now on.</summary>
    /// <returns>Those that there are, the newest first; of those that are over not all.</returns>
    public async Task<IReadOnlyList<StreamStatus>> SubscribeAsync(StreamSubscription? subscription = null, CancellationToken cancellationToken = default)
    {
        subscription ??= new StreamSubscription();
        await _subscribing.WaitAsync(cancellationToken);
        try
        {
            var snapshots = await _hub.InvokeAsync<IReadOnlyList<StreamStatus>>("Subscribe", subscription, cancellationToken);
            if (!_streamSubscriptions.Contains(subscription))
                _streamSubscriptions.Add(subscription);
            foreach (var status in snapshots)
                _streams.TryRead(status.StreamId ?? Guid.Empty, PictureOf(status, StreamUpdateKind.Snapshot));
            return snapshots;
        }
        finally
        {
            _subscribing.Release();
        }
    }

    /// <summary>Hears of more migrations from now on.</summary>
    /// <returns>Those that there are, the newest first; of those that are over not all.</returns>
    public async Task<IReadOnlyList<Migration>> SubscribeMigrationsAsync(MigrationSubscription? subscription = null, CancellationToken cancellationToken = default)
    {
        subscription ??= new MigrationSubscription();
        await _subscribing.WaitAsync(cancellationToken);
        try
        {
            var snapshots = await _hub.InvokeAsync<IReadOnlyList<Migration>>("SubscribeMigrations", subscription, cancellationToken);
            if (!_migrationSubscriptions.Contains(subscription))
                _migrationSubscriptions.Add(subscription);
            foreach (var migration in snapshots)
                _migrations.TryRead(migration.MigrationId, PictureOf(migration));
            return snapshots;
        }
        finally
        {
            _subscribing.Release();
        }
    }

    /// <summary>Ends all subscriptions. What was sent before has arrived when this returns: a connection keeps its order.</summary>
    public async Task UnsubscribeAsync(CancellationToken cancellationToken = default)
    {
        await _subscribing.WaitAsync(cancellationToken);
        try
        {
            _streamSubscriptions.Clear();
            _migrationSubscriptions.Clear();
            await _hub.InvokeAsync("Unsubscribe", cancellationToken);
        }
        finally
        {
            _subscribing.Release();
        }
    }

    /// <summary>
    /// What happens to the streams, as it happens. Ends when this is disposed of; where the service ends it for good, with the reason thrown.
    /// For one reader.
    /// </summary>
    public async IAsyncEnumerable<StreamUpdate> ReadStreamsAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var picture in _streams.ReadAllAsync(cancellationToken))
            yield return new StreamUpdate(picture.Value, picture.Kind);
    }

    /// <summary>What happens to the migrations, as it happens. For one reader.</summary>
    public async IAsyncEnumerable<Migration> ReadMigrationsAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var picture in _migrations.ReadAllAsync(cancellationToken))
            yield return picture.Value;
    }

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        Complete(null);
    }

    private void Complete(Exception? error)
    {
        _streams.Complete(error);
        _migrations.Complete(error);
        StateChanged?.Invoke(WatchState.Closed, error);
    }

    private void Add(StreamStatus status, StreamUpdateKind kind) => _streams.Add(status.StreamId ?? Guid.Empty, PictureOf(status, kind));

    private void Add(Migration migration) => _migrations.Add(migration.MigrationId, PictureOf(migration));

    private static LatestFirst<StreamStatus>.Picture PictureOf(StreamStatus status, StreamUpdateKind kind) =>
        new(status, kind, status.Generation, status.IsOver, Passing: kind == StreamUpdateKind.Progress);

    private static LatestFirst<Migration>.Picture PictureOf(Migration migration) =>
        new(migration, StreamUpdateKind.StateChanged, migration.Generation, migration.IsOver, Passing: !migration.IsOver);

    private async Task SubscribeAgainAsync()
    {
        await _subscribing.WaitAsync();
        try
        {
            foreach (var subscription in _streamSubscriptions)
                foreach (var status in await _hub.InvokeAsync<IReadOnlyList<StreamStatus>>("Subscribe", subscription))
                    Add(status, StreamUpdateKind.Snapshot);
            foreach (var subscription in _migrationSubscriptions)
                foreach (var migration in await _hub.InvokeAsync<IReadOnlyList<Migration>>("SubscribeMigrations", subscription))
                    Add(migration);
            StateChanged?.Invoke(WatchState.Connected, null);
        }
        catch (Exception lost) when (lost is not Microsoft.AspNetCore.SignalR.HubException)
        {
            // The connection went again; once it is back all is subscribed to anew.
        }
        catch (Microsoft.AspNetCore.SignalR.HubException refused)
        {
            Complete(refused);
        }
        finally
        {
            _subscribing.Release();
        }
    }

    /// <summary>Over the same way as the requests, so that a Unix socket serves for both.</summary>
    private async Task<WebSocket> OpenAsync(Uri address, CancellationToken cancellationToken)
    {
        var socket = new ClientWebSocket();
        socket.Options.CollectHttpResponseDetails = true;
        try
        {
            if (_api.Options.Credential is { } ask && await ask(cancellationToken) is { Length: > 0 } credential)
                socket.Options.SetRequestHeader("Authorization", new AuthenticationHeaderValue("Bearer", credential).ToString());
            using var invoker = new HttpMessageInvoker(_api.Transport, disposeHandler: false);
            await socket.ConnectAsync(address, invoker, cancellationToken);
            return socket;
        }
        catch (WebSocketException refused)
        {
            var status = socket.HttpStatusCode;
            socket.Dispose();
            throw status switch
            {
                HttpStatusCode.Unauthorized => new StreamServiceException(status, new Problem { Code = "unauthorized", Title = "Nobody is signed in.", Detail = "The hub asks for an API key or a token.", Status = (int)status }),
                HttpStatusCode.Forbidden => new StreamServiceException(status, new Problem { Code = "forbidden", Title = "The caller may not watch.", Detail = "The key or token lacks the scope streams:read.", Status = (int)status }),
                _ => new HttpRequestException(refused.Message, refused, status == 0 ? null : status),
            };
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>For ever, but for a caller whose key or token is no good any more: at once, then more and more slowly, never all clients at the same moment.</summary>
    private sealed class Patience : IRetryPolicy
    {
        private const double LongestSeconds = 30;

        public TimeSpan? NextRetryDelay(RetryContext retryContext)
        {
            if (retryContext.RetryReason is StreamServiceException { Status: HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden })
                return null;
            if (retryContext.PreviousRetryCount == 0)
                return TimeSpan.FromSeconds(Random.Shared.NextDouble() / 4);
            var longest = Math.Min(LongestSeconds, 0.5 * Math.Pow(2, Math.Min(retryContext.PreviousRetryCount, 10)));
            return TimeSpan.FromSeconds(longest * (0.5 + Random.Shared.NextDouble() / 2));
        }
    }
}
