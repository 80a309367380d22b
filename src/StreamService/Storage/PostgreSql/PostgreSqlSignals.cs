using System.Text;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace StreamService.Storage.PostgreSql;

/// <summary>
/// LISTEN and NOTIFY, on one connection of its own and one channel for all topics. The connection is sought again when it is lost,
/// and whoever subscribed is told to look for himself each time it is there.
/// </summary>
public sealed class PostgreSqlSignals : DatabaseSignals, IHostedService, IAsyncDisposable
{
    /// <summary>A notification of it is <c>topic payload</c>. Topics that nobody here knows, of a newer replica perhaps, are passed over.</summary>
    private const string Channel = "streamservice";

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100), LongestPause = TimeSpan.FromSeconds(2);

    private readonly IDbContextFactory<StreamDbContext> _contexts;
    private readonly TimeProvider _time;
    private readonly ILogger<PostgreSqlSignals> _logger;
    private readonly string _connectionString;
    private readonly Lock _lock = new();
    private readonly List<Subscription> _subscriptions = [];
    private readonly CancellationTokenSource _stopping = new();
    private Task _listening = Task.CompletedTask;
    private int _connections;

    /// <param name="connectionString">Of the database; it is written nowhere.</param>
    public PostgreSqlSignals(string connectionString, IDbContextFactory<StreamDbContext> contexts, TimeProvider time, ILogger<PostgreSqlSignals> logger)
    {
        _contexts = contexts;
        _time = time;
        _logger = logger;
        _connectionString = new NpgsqlConnectionStringBuilder(connectionString)
        {
            Pooling = false,
            // Seconds. A server that vanished without a word is noticed after that, and as much again.
            KeepAlive = 10,
        }.ToString();
    }

    /// <summary>How often the connection was established. Rises when the server was away, or another took its place.</summary>
    public int Connections => Volatile.Read(ref _connections);

    public override IDisposable Subscribe(string topic, Action<string?> subscriber)
    {
        if (topic.Length == 0 || topic.Contains(' ', StringComparison.Ordinal))
            throw new ArgumentException($"A topic is one word, not '{topic}'.", nameof(topic));
        var subscription = new Subscription(this, topic, subscriber);
        lock (_lock)
            _subscriptions.Add(subscription);
        return subscription;
    }

    public override async Task NotifyAsync(StreamDbContext context, string topic, string payload, CancellationToken cancellationToken)
    {
        var signal = $"{topic} {payload}";
        if (Encoding.UTF8.GetByteCount(signal) > LargestSignal)
            throw new ArgumentException($"A signal of {Encoding.UTF8.GetByteCount(signal)} bytes is larger than {LargestSignal}.", nameof(payload));
        await context.Database.ExecuteSqlAsync($"SELECT pg_notify({Channel}, {signal})", cancellationToken);
    }

    public override async Task NotifyAsync(string topic, string payload, CancellationToken cancellationToken)
    {
        await using var context = await _contexts.CreateDbContextAsync(cancellationToken);
        await NotifyAsync(context, topic, payload, cancellationToken);
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _listening = ListenAsync(_stopping.Token);
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        await _listening;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_stopping.IsCancellationRequested)
            await StopAsync(CancellationToken.None);
        _stopping.Dispose();
    }

    private async Task ListenAsync(CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await using var connection = new NpgsqlConnection(_connectionString);
                connection.Notification += (_, notification) => Pass(notification.Payload);
                await connection.OpenAsync(cancellationToken);
                await using (var listen = new NpgsqlCommand($"LISTEN {Channel}", connection))
                    await listen.ExecuteNonQueryAsync(cancellationToken);
                pause = FirstPause;
                Interlocked.Increment(ref _connections);
                StorageLog.Listening(_logger);
                PassAll();
                while (true)
                    await connection.WaitAsync(cancellationToken);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                // Told once, however long it takes.
                if (pause == FirstPause)
                    StorageLog.SignalsLost(_logger, exception.GetBaseException().Message);
                await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, LongestPause.Ticks));
            }
        }
    }

    private void Pass(string signal)
    {
        if (signal.IndexOf(' ', StringComparison.Ordinal) is var end and > 0)
            foreach (var subscription in Subscriptions().Where(subscription => subscription.Topic == signal[..end]))
                Call(subscription, signal[(end + 1)..]);
    }

    private void PassAll()
    {
        foreach (var subscription in Subscriptions())
            Call(subscription, payload: null);
    }

    private void Call(Subscription subscription, string? payload)
    {
        try
        {
            subscription.Subscriber(payload);
        }
        catch (Exception exception)
        {
            StorageLog.SubscriberFailed(_logger, subscription.Topic, exception);
        }
    }

    private Subscription[] Subscriptions()
    {
        lock (_lock)
            return [.. _subscriptions];
    }

    private sealed class Subscription(PostgreSqlSignals signals, string topic, Action<string?> subscriber) : IDisposable
    {
        public string Topic => topic;

        public Action<string?> Subscriber => subscriber;

        public void Dispose()
        {
            lock (signals._lock)
                signals._subscriptions.Remove(this);
        }
    }
}
