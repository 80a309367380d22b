using System.Collections.Concurrent;
using System.Data.Common;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.EntityFrameworkCore;
using StackExchange.Redis;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Fleet;

/// <summary>Pictures from replica to replica, over one Redis channel. Each replica delivers what comes to those of its own connections that may and want to see it.</summary>
/// <remarks>
/// Redis keeps nothing: what is sent while it is away, or while a connection to it is, is lost. The records have every change of state, so
/// whoever was cut off reads from them what he may have missed, and so do all others, for what he could not send.
/// </remarks>
public sealed class RedisPictures : PictureBus, IHostedService, IAsyncDisposable
{
    /// <summary>A database may be behind the pictures, and clocks apart.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250), Settled = TimeSpan.FromSeconds(5);

    private static readonly RedisChannel Channel = RedisChannel.Literal("streamservice:pictures");

    private static readonly JsonSerializerOptions Json = new() { Converters = { new LabelsConverter() } };

    private readonly ConfigurationOptions _options;
    private readonly StreamStore _streams;
    private readonly MigrationStore _migrations;
    private readonly TimeProvider _time;
    private readonly ILogger<RedisPictures> _logger;
    private readonly Guid _sender = Guid.NewGuid();
    private readonly ConcurrentDictionary<Guid, long> _seen = new();
    private readonly Channel<Envelope> _arrived = System.Threading.Channels.Channel.CreateUnbounded<Envelope>(new() { SingleReader = true });
    private readonly CancellationTokenSource _stopping = new();
    private ConnectionMultiplexer? _redis;
    private long _awaySince;
    private Task _running = Task.CompletedTask;

    /// <param name="redis">How it is reached; it may hold a password, and is written nowhere.</param>
    public RedisPictures(string redis, StreamStore streams, MigrationStore migrations, TimeProvider time, ILogger<RedisPictures> logger)
    {
        (_streams, _migrations, _time, _logger) = (streams, migrations, time, logger);
        _options = ConfigurationOptions.Parse(redis);
        _options.AbortOnConnectFail = false;
        _options.ClientName = "streamservice";
        // A picture that cannot go now is old by the time it could.
        _options.BacklogPolicy = BacklogPolicy.FailFast;
        _options.ReconnectRetryPolicy = new LinearRetry(500);
    }

    /// <summary>What goes over the channel: one of the pictures, or from when on pictures may be missing.</summary>
    private sealed record Envelope(Guid Sender, StreamStatus? Stream = null, bool StateChanged = false, MigrationStatus? Migration = null, DateTimeOffset? MissingSince = null);

    public override void Send(StreamStatus status, bool stateChanged) => Send(new Envelope(_sender, status, stateChanged));

    public override void Send(MigrationStatus status) => Send(new Envelope(_sender, Migration: status));

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        _redis = await ConnectionMultiplexer.ConnectAsync(_options);
        _redis.ConnectionFailed += (_, failed) => Leave(failed.Exception?.GetBaseException().Message ?? failed.FailureType.ToString());
        _redis.ConnectionRestored += (_, _) => _arrived.Writer.TryWrite(new Envelope(Guid.Empty));
        if (!_redis.IsConnected)
            Leave("it does not answer");
        _running = RunAsync(_redis, _stopping.Token);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        await _running;
    }

    public async ValueTask DisposeAsync()
    {
        _stopping.Dispose();
        if (_redis is not null)
            await _redis.DisposeAsync();
    }

    private async Task RunAsync(ConnectionMultiplexer redis, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
            try
            {
                // The client subscribes again by itself whenever it has connected again. A queue keeps the order, which a bare handler does not.
                (await redis.GetSubscriber().SubscribeAsync(Channel)).OnMessage(message => Take(message.Message));
                break;
            }
            catch (RedisException)
            {
                await Task.Delay(FirstPause, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        try
        {
            await foreach (var envelope in _arrived.Reader.ReadAllAsync(cancellationToken))
                await DeliverAsync(envelope, cancellationToken);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task DeliverAsync(Envelope envelope, CancellationToken cancellationToken)
    {
        if (envelope.Stream is { } stream)
        {
            if (IsNew(stream.StreamId, stream.Generation, stream.IsFinal))
                Receive(stream, envelope.StateChanged);
        }
        else if (envelope.Migration is { } migration)
        {
            if (IsNew(migration.MigrationId, migration.Generation, migration.IsFinal))
                Receive(migration);
        }
        else if (envelope.MissingSince is { } since)
            await CatchUpAsync(since, cancellationToken);
        else
            await ComeBackAsync(cancellationToken);
    }

    /// <summary>After a connection to Redis was lost: both ways something may be missing.</summary>
    private async Task ComeBackAsync(CancellationToken cancellationToken)
    {
        if (_redis is not { IsConnected: true } || Interlocked.Exchange(ref _awaySince, 0) is not (> 0 and var ticks))
            return;
        FleetLog.RedisBack(_logger);
        var since = new DateTimeOffset(ticks, TimeSpan.Zero) - Margin;
        Send(new Envelope(_sender, MissingSince: since));
        await CatchUpAsync(since, cancellationToken);
        // What changed between this look and the moment from which the channel is heard again.
        _ = Task.Delay(Settled, _time, cancellationToken).ContinueWith(_ => _arrived.Writer.TryWrite(new Envelope(_sender, MissingSince: since)), cancellationToken,
            TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
    }

    private async Task CatchUpAsync(DateTimeOffset since, CancellationToken cancellationToken)
    {
        try
        {
            foreach (var stream in await _streams.ListSinceAsync(host: null, since, cancellationToken))
                Receive(stream, stateChanged: true);
            foreach (var migration in await _migrations.ListSinceAsync(since, cancellationToken))
                Receive(migration);
        }
        catch (Exception exception) when (exception is DbException or DbUpdateException)
        {
            // Tried again once the database is there, for all that Redis may have kept from us meanwhile.
            Interlocked.CompareExchange(ref _awaySince, since.UtcTicks, 0);
            await Task.Delay(TimeSpan.FromSeconds(1), _time, cancellationToken);
            _arrived.Writer.TryWrite(new Envelope(Guid.Empty));
        }
    }

    /// <summary>Of two drivers of one stream the later one's pictures count: those of one that has been asleep come too late.</summary>
    private bool IsNew(Guid id, long generation, bool isFinal)
    {
        if (_seen.TryGetValue(id, out var seen) && seen >= generation)
            return false;
        if (isFinal)
            _seen.TryRemove(id, out _);
        else
            _seen[id] = generation;
        return true;
    }

    private void Take(RedisValue message)
    {
        try
        {
            if (JsonSerializer.Deserialize<Envelope>((byte[])message!, Json) is { } envelope && envelope.Sender != _sender)
                _arrived.Writer.TryWrite(envelope);
        }
        catch (Exception exception) when (exception is JsonException or NotSupportedException)
        {
            FleetLog.PictureUnreadable(_logger, exception.Message);
        }
    }

    private void Send(Envelope envelope)
    {
        if (_redis is not { } redis)
            return;
        try
        {
            redis.GetSubscriber().Publish(Channel, JsonSerializer.SerializeToUtf8Bytes(envelope, Json), CommandFlags.FireAndForget);
        }
        catch (RedisException exception)
        {
            Leave(exception.Message);
        }
    }

    private void Leave(string reason)
    {
        if (Interlocked.CompareExchange(ref _awaySince, _time.GetUtcNow().UtcTicks, 0) == 0)
            FleetLog.RedisAway(_logger, reason);
    }

    /// <summary>Labels as the text that they are.</summary>
    private sealed class LabelsConverter : System.Text.Json.Serialization.JsonConverter<LabelSet>
    {
        public override LabelSet Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => new(reader.GetString());

        public override bool HandleNull => true;

        public override void Write(Utf8JsonWriter writer, LabelSet value, JsonSerializerOptions options) => writer.WriteStringValue(value.Text);
    }
}
