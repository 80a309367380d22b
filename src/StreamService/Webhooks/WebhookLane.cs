using System.Text.Json;
using System.Threading.Channels;
using Microsoft.EntityFrameworkCore;
using StreamService.Configuration;
using StreamService.Storage;
using StreamService.Telemetry;

namespace StreamService.Webhooks;

/// <summary>
/// One receiver's way through the events: in their order, each until the receiver has it or it is too old. How far it is stands in the
/// database, so that a service that was killed goes on there. Between an answer and that record lies a moment in which a crash
/// makes an event go out again: receivers know it by its id.
/// </summary>
public sealed class WebhookLane(WebhookOptions receiver, EventStore events, WebhookEvents form, WebhookSender sender, TimeProvider time, ILogger logger)
{
    /// <summary>Another replica's events come without a signal.</summary>
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(2);

    /// <summary>
    /// A sequence that is missing may belong to a transaction that is still under way. Where it has not come so long after the event
    /// behind it was seen, it never does.
    /// </summary>
    private static readonly TimeSpan GapPatience = TimeSpan.FromSeconds(5);

    private const int PageSize = 100;

    private readonly Channel<bool> _signal = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private (long Before, long SeenAt)? _gap;
    private long _cursor;
    private long _waitsSince;

    /// <summary>The receiver's name.</summary>
    public string Name => receiver.Name;

    /// <summary>How old the event is that it has been waiting to get rid of; zero where there is none.</summary>
    public TimeSpan Lag => Interlocked.Read(ref _waitsSince) is > 0 and var since ? time.GetUtcNow() - new DateTimeOffset(since, TimeSpan.Zero) : TimeSpan.Zero;

    /// <summary>There is a new event.</summary>
    public void Wake() => _signal.Writer.TryWrite(true);

    /// <summary>Takes its place: where it was, or, the first time, behind all that has happened already.</summary>
    public async Task BeginAsync(CancellationToken cancellationToken)
    {
        if (await events.FindCursorAsync(Name, cancellationToken) is not null)
            return;
        try
        {
            await events.AddCursorAsync(Name, await events.FindLastAsync(cancellationToken), cancellationToken);
        }
        catch (DbUpdateException)
        {
            // Another replica was quicker.
            if (await events.FindCursorAsync(Name, cancellationToken) is null)
                throw;
        }
    }

    /// <summary>Delivers until the service stops.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        for (var failures = 0; ;)
        {
            try
            {
                await DeliverAllAsync(stopping);
                failures = 0;
            }
            catch (Exception exception) when (!stopping.IsCancellationRequested)
            {
                // The database is away, most likely: the events are in it, and wait.
                WebhookLog.Interrupted(logger, Name, exception.GetBaseException().Message);
                await Task.Delay(receiver.RetryDelayAfter(++failures), time, stopping);
                continue;
            }
            await WaitAsync(stopping);
        }
    }

    private async Task WaitAsync(CancellationToken stopping)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        await Task.WhenAny(_signal.Reader.WaitToReadAsync(enough.Token).AsTask(), Task.Delay(PollInterval, time, enough.Token));
        await enough.CancelAsync();
        _signal.Reader.TryRead(out _);
        stopping.ThrowIfCancellationRequested();
    }

    private async Task DeliverAllAsync(CancellationToken stopping)
    {
        await FindPlaceAsync(stopping);
        while (true)
        {
            var page = await events.ReadAsync(_cursor, PageSize, stopping);
            foreach (var happened in page)
            {
                if (happened.Sequence != _cursor + 1)
                {
                    if (!IsGapForGood(happened.Sequence))
                        return;
                    WebhookLog.Missed(logger, Name, _cursor + 1, happened.Sequence - 1);
                }
                var wanted = receiver.Types.Count == 0 || receiver.Types.Contains(WebhookEvents.TypeOf(happened));
                if (wanted)
                    await DeliverAsync(happened, stopping);
                _cursor = happened.Sequence;
                if ((wanted || happened == page[^1]) && !await events.KeepCursorAsync(Name, _cursor, stopping))
                    return;
            }
            if (page.Count < PageSize)
                return;
        }
    }

    private bool IsGapForGood(long before)
    {
        if (_gap?.Before != before)
            _gap = (before, time.GetTimestamp());
        return time.GetElapsedTime(_gap.Value.SeenAt) >= GapPatience;
    }

    /// <summary>What is in the database holds, unless what happened here since could not be written there.</summary>
    private async Task FindPlaceAsync(CancellationToken cancellationToken)
    {
        if (await events.FindCursorAsync(Name, cancellationToken) is { } kept)
        {
            // Sequences that are ahead of the whole database belong to another one, which this has replaced.
            var isOurs = kept >= _cursor || await events.FindLastAsync(cancellationToken) >= _cursor;
            _cursor = isOurs ? Math.Max(_cursor, kept) : kept;
            return;
        }
        // A database that was made anew: all that is in it is new.
        _cursor = 0;
        await events.AddCursorAsync(Name, 0, cancellationToken);
    }

    /// <summary>The event's body; null where its picture cannot be read, which must not hold up all others.</summary>
    private (ReadOnlyMemory<byte> Body, string MediaType)? Encode(EventRecord happened)
    {
        try
        {
            return form.Encode(happened);
        }
        catch (Exception exception) when (exception is JsonException or NotSupportedException)
        {
            WebhookLog.GivenUp(logger, Name, happened.Id, happened.Subject, happened.State, exception.Message);
            WebhookMeters.GivenUp(Name);
            return null;
        }
    }

    private async Task DeliverAsync(EventRecord happened, CancellationToken stopping)
    {
        if (Encode(happened) is not var (body, mediaType))
            return;
        Interlocked.Exchange(ref _waitsSince, happened.Time.UtcTicks);
        for (var failures = 0; ;)
        {
            var begun = time.GetTimestamp();
            var answer = await sender.SendAsync(receiver, happened.Id, body, mediaType, stopping);
            WebhookMeters.Took(Name, answer.Fault is null ? WebhookOutcome.Delivered : WebhookOutcome.Failed, time.GetElapsedTime(begun));
            if (answer.Fault is null)
            {
                if (failures > 0)
                    WebhookLog.WorksAgain(logger, Name, failures);
                break;
            }
            failures++;
            if (time.GetUtcNow() - happened.Time >= receiver.GiveUpAfter)
            {
                WebhookLog.GivenUp(logger, Name, happened.Id, happened.Subject, happened.State, answer.Fault);
                WebhookMeters.GivenUp(Name);
                break;
            }
            var delay = receiver.RetryDelayAfter(failures);
            if (answer.RetryAfter > delay)
                delay = answer.RetryAfter < receiver.RetryDelayLimit ? answer.RetryAfter.Value : receiver.RetryDelayLimit;
            WebhookLog.Failed(logger, Name, happened.Id, failures, answer.Fault, delay.TotalSeconds);
            await Task.Delay(delay, time, stopping);
        }
        Interlocked.Exchange(ref _waitsSince, 0);
    }
}
