using System.Collections.Concurrent;
using System.Net.WebSockets;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR.Client;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Api;

/// <summary>A client of the hub that keeps what it is told.</summary>
internal sealed class HubClient : IAsyncDisposable
{
    private readonly HubConnection _connection;
    private readonly Channel<JsonElement> _states = Channel.CreateUnbounded<JsonElement>();

    private HubClient(ServiceProcess service)
    {
        _connection = new HubConnectionBuilder().WithUrl(new Uri(service.Address, "/hubs/streams"), options =>
        {
            options.HttpMessageHandlerFactory = _ => service.Transport();
            options.AccessTokenProvider = () => Task.FromResult(service.Http.DefaultRequestHeaders.Authorization?.Parameter);
            options.WebSocketFactory = async (context, cancellationToken) =>
            {
                var socket = new ClientWebSocket();
                if (service.Http.DefaultRequestHeaders.Authorization is { } authorization)
                    socket.Options.SetRequestHeader("Authorization", authorization.ToString());
                await socket.ConnectAsync(context.Uri, new HttpMessageInvoker(service.Transport()), cancellationToken);
                return socket;
            };
        }).Build();
        _connection.On<JsonElement>("MigrationChanged", Migrations.Enqueue);
        _connection.On<JsonElement>("StreamStateChanged", status =>
        {
            Messages.Enqueue(status);
            _states.Writer.TryWrite(status);
        });
        _connection.On<JsonElement>("StreamProgress", status =>
        {
            Messages.Enqueue(status);
            Progress.Enqueue((TimeProvider.System.GetTimestamp(), status));
        });
    }

    /// <summary>What it was told of migrations.</summary>
    public ConcurrentQueue<JsonElement> Migrations { get; } = new();

    /// <summary>All messages of streams in the order of their arrival.</summary>
    public ConcurrentQueue<JsonElement> Messages { get; } = new();

    /// <summary>Progress, with the time of its arrival.</summary>
    public ConcurrentQueue<(long At, JsonElement Status)> Progress { get; } = new();

    public static async Task<HubClient> ConnectAsync(ServiceProcess service)
    {
        var client = new HubClient(service);
        await client._connection.StartAsync();
        return client;
    }

    /// <summary>Subscribes; returns the snapshots.</summary>
    public async Task<IReadOnlyList<JsonElement>> SubscribeAsync(object subscription) =>
        [.. (await _connection.InvokeAsync<JsonElement>("Subscribe", subscription)).EnumerateArray()];

    /// <summary>Subscribes to migrations; returns the snapshots.</summary>
    public async Task<IReadOnlyList<JsonElement>> SubscribeMigrationsAsync(object subscription) =>
        [.. (await _connection.InvokeAsync<JsonElement>("SubscribeMigrations", subscription)).EnumerateArray()];

    /// <summary>Names the streams whose progress it wants; returns their snapshots.</summary>
    public async Task<IReadOnlyList<JsonElement>> WatchAsync(params string[] streams) =>
        [.. (await _connection.InvokeAsync<JsonElement>("Watch", streams)).EnumerateArray()];

    /// <summary>Unsubscribes. What was sent before has arrived when it returns: a connection keeps its order.</summary>
    public Task UnsubscribeAsync() => _connection.InvokeAsync("Unsubscribe");

    /// <summary>State changes as they come, up to and with the first of that state.</summary>
    public async Task<List<JsonElement>> StatesUntilAsync(string last, Guid? domain = null)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var states = new List<JsonElement>();
        await foreach (var status in _states.Reader.ReadAllAsync(deadline.Token))
        {
            if (domain is not null && status.GetProperty("domain").GetGuid() != domain)
                continue;
            states.Add(status);
            if (status.GetProperty("state").GetString() == last)
                break;
        }
        return states;
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();
}
