using System.Text.Json.Serialization;
using StreamService.Hypervisors;

namespace StreamService.Streaming;

/// <summary>What a stream job is doing. The diagram stands on <see cref="StreamJob"/>.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamState>))]
public enum StreamState
{
    /// <summary>The disk has no stream job, and never had one.</summary>
    Idle,

    /// <summary>Accepted and persisted; its turn has not come yet.</summary>
    Queued,

    /// <summary>It populates the overlay.</summary>
    Running,

    /// <summary>A caller asked it to rest. What was populated is flushed.</summary>
    Paused,

    /// <summary>The source, the space or the host is missing; it retries by itself and says why in <c>reason</c>.</summary>
    Waiting,

    /// <summary>All is populated: flush, drop the backing link, flush again.</summary>
    Finalizing,

    /// <summary>The disk is independent of what was streamed, and on stable storage.</summary>
    Completed,

    /// <summary>It ended with an error. What was populated stays; the disk is valid.</summary>
    Failed,

    /// <summary>A caller ended it. What was populated stays; the disk is valid.</summary>
    Cancelled,
}

/// <summary>Which of the proposal's two modes.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamMode>))]
public enum StreamMode
{
    /// <summary>The whole device, in the background (VIR_STREAM_DISK_FULL).</summary>
    Full,

    /// <summary>One unit at an offset, now (VIR_STREAM_DISK_ONE).</summary>
    Single,
}

/// <summary>Whether the stream makes room for the guest.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamPolicy>))]
public enum StreamPolicy
{
    /// <summary>Gives way to the guest: small units at the pace that keeps its latency; see <see cref="AdaptiveController"/>.</summary>
    Adaptive,

    /// <summary>Holds the bandwidth whatever the guest does.</summary>
    Fixed,
}

/// <summary>How streams weigh against each other.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamPriority>))]
public enum StreamPriority
{
    Low,
    Normal,
    High,
}

/// <summary>What a priority weighs where streams share a budget.</summary>
public static class StreamPriorities
{
    /// <summary>1, 4 and 16: a step up gets four times as much.</summary>
    public static int Weight(this StreamPriority priority) => priority switch
    {
        StreamPriority.Low => 1,
        StreamPriority.Normal => 4,
        StreamPriority.High => 16,
        _ => throw new ArgumentOutOfRangeException(nameof(priority), priority, "A priority without a weight."),
    };
}

/// <summary>What a stream does when an I/O request fails.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamOnError>))]
public enum StreamOnError
{
    /// <summary>Waits and retries until it works or a caller cancels.</summary>
    Stop,

    /// <summary>Ends as failed, with the error.</summary>
    Report,
}

/// <summary>Who populates the overlay.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamEngine>))]
public enum StreamEngine
{
    /// <summary>Pipelined NBD CACHE requests, flush, then the hypervisor drops the link.</summary>
    Pipelined,

    /// <summary>
    /// The hypervisor's own stream job alone, for disks that cannot be exported. Weaker: libvirt drops the link before all
    /// is on stable storage, so the disk is at risk until <c>completed</c>.
    /// </summary>
    Native,
}

/// <summary>Where in the disk the stream begins.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamOrder>))]
public enum StreamOrder
{
    /// <summary>From the first byte to the last.</summary>
    Sequential,

    /// <summary>What guests of this image read first, as its profile has it; then the rest, as sequential.</summary>
    HotFirst,
}

/// <summary>One disk of one domain of one host: what a stream job is about.</summary>
public sealed record DiskAddress(string Host, Guid Domain, string Target);

/// <summary>What a caller asked for when it started a full stream.</summary>
/// <param name="Base">The backing image that stays, by its source; null streams the whole chain.</param>
/// <param name="Bandwidth">Bytes per second; 0 is unlimited.</param>
/// <param name="Engine">Null leaves it open: pipelined, or native where the disk cannot be exported.</param>
public sealed record StreamSpec(
    string? Base,
    long Bandwidth,
    StreamPolicy Policy,
    StreamPriority Priority,
    StreamOnError OnError,
    StreamEngine? Engine,
    StreamOrder Order)
{
    /// <summary>adaptive: the guest's mean latency to stay under, in milliseconds; null: learned from the guest's quiet moments.</summary>
    public double? TargetLatencyMs { get; init; }

    /// <summary>adaptive: what the guest's load does not push the pace below, in bytes per second; 0: <see cref="AdaptiveController.DefaultFloor"/>.</summary>
    public long MinBandwidth { get; init; }

    /// <summary>
    /// It was begun while the domain was shut off, and may open the image itself. One that was begun inside a running domain
    /// must not, or it would keep that domain from being started again.
    /// </summary>
    public bool Offline { get; init; }

    /// <summary>It does not begin before: until then the guest alone populates the overlay, which is how a profile is learned.</summary>
    public DateTimeOffset? NotBefore { get; init; }
}

/// <summary>A change to a stream job; null members stay as they are.</summary>
public sealed record StreamChange(long? Bandwidth, StreamPolicy? Policy, StreamPriority? Priority, bool? Paused)
{
    public double? TargetLatencyMs { get; init; }
    public long? MinBandwidth { get; init; }
}

/// <summary>A budget on a stream's way, and what of it is the stream's.</summary>
/// <param name="BytesPerSecond">The budget's pace now; 0 is unlimited.</param>
/// <param name="Share">By the weight of the stream's priority among those that want some of it now, in bytes per second; 0 where the budget is unlimited.</param>
public sealed record BudgetShare(string Name, long BytesPerSecond, long Share);

/// <summary>Why a stream failed: a code of the contract and the failing layer's own words.</summary>
public sealed record StreamError(string Code, string Detail);

/// <summary>An immutable picture of one stream job. Generations rise; a later one replaces an earlier one.</summary>
/// <param name="Engine">The engine at work.</param>
/// <param name="EngineReason">Why it is not the one that is usual; null where it is, or was asked for.</param>
/// <param name="BytesStreamed">What this job brought into the overlay.</param>
/// <param name="BytesDurable">Of those, what a flush has put on stable storage.</param>
/// <param name="BytesRemaining">What is still only in the backing chain; holes do not count. Null until the map was read.</param>
/// <param name="BytesPerSecond">Mean over the last seconds.</param>
/// <param name="Reason">Why it waits or, while it runs, why it is slower than it could be; null at full speed.</param>
public sealed record StreamStatus(
    Guid StreamId,
    DiskAddress Disk,
    string DomainName,
    long Size,
    StreamMode Mode,
    StreamSpec Spec,
    StreamEngine Engine,
    string? EngineReason,
    StreamState State,
    long BytesStreamed,
    long BytesDurable,
    long? BytesRemaining,
    long BytesPerSecond,
    string? Reason,
    StreamError? Error,
    DateTimeOffset CreatedAt,
    DateTimeOffset? StartedAt,
    DateTimeOffset UpdatedAt,
    DateTimeOffset? FinishedAt,
    long Generation)
{
    /// <summary>When all that the image's profile names was in the overlay; null before that, and where the image has no profile.</summary>
    public DateTimeOffset? BootReadyAt { get; init; }

    /// <summary>The domain's labels when the stream was begun: callers that are limited to some see no others.</summary>
    [JsonIgnore]
    public LabelSet Labels { get; init; }

    /// <summary>The span of the request that began it, as W3C's traceparent; null where nobody traces.</summary>
    public string? TraceParent { get; init; }

    /// <summary>What the guest's reads and writes took lately, in milliseconds; null where nobody looks, or the guest leaves the disk alone.</summary>
    public double? GuestLatencyMs { get; init; }

    /// <summary>What the image's profile names and is still only in the backing chain, in bytes; null where there is no profile, or none was looked for.</summary>
    public long? HotRemaining { get; init; }

    /// <summary>The budgets that it is under now, the narrowest scope first. Of the moment alone: no event keeps them.</summary>
    [JsonIgnore]
    public IReadOnlyList<BudgetShare> Budgets { get; init; } = [];

    /// <summary>Attempts in a row that failed; 0 while all goes well.</summary>
    public int Attempt { get; init; }

    /// <summary>When it tries again by itself; null where it does not wait for that.</summary>
    public DateTimeOffset? NextAttemptAt { get; init; }

    /// <summary>The last fault that it waited out, kept after it went on; null where there was none.</summary>
    public StreamError? LastError { get; init; }

    /// <summary>Whether it is over.</summary>
    public bool IsFinal => State is StreamState.Completed or StreamState.Failed or StreamState.Cancelled;

    /// <summary>The populated bytes of the continuous progress (virDomainStreamDiskInfo's offset): all that needs no streaming any more.</summary>
    public long Offset => State == StreamState.Completed ? Size : BytesRemaining is { } remaining ? Size - remaining : 0;

    /// <summary>Seconds to the end at the present rate; null where there is no rate to tell it by.</summary>
    public double? EtaSeconds => State switch
    {
        StreamState.Completed => 0,
        StreamState.Running when BytesRemaining is { } remaining && BytesPerSecond > 0 => Math.Round((double)remaining / BytesPerSecond, 1),
        _ => null,
    };

    /// <summary>This picture with another state, and what goes with that.</summary>
    internal StreamStatus Entering(StreamState state, string? reason, StreamError? error, DateTimeOffset now)
    {
        var next = this with
        {
            State = state,
            Reason = reason,
            Error = error,
            Attempt = state is StreamState.Waiting or StreamState.Failed ? Attempt : 0,
            NextAttemptAt = null,
            StartedAt = StartedAt ?? (state is StreamState.Running or StreamState.Waiting or StreamState.Finalizing ? now : null),
        };
        if (state == StreamState.Completed)
            next = next with { BytesRemaining = 0, BytesDurable = next.BytesStreamed, HotRemaining = next.HotRemaining is null ? null : 0 };
        if (next.IsFinal)
            next = next with { FinishedAt = now };
        return state is StreamState.Running or StreamState.Finalizing ? next : next with { BytesPerSecond = 0, GuestLatencyMs = null, Budgets = [] };
    }
}
