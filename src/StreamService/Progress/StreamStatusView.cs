using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>
/// A stream's status as callers see it, over HTTP and over the hub. The first three members are those of the
/// virDomainStreamDiskInfo proposal.
/// </summary>
public sealed record StreamStatusView
{
    /// <summary>The disk's target, for example <c>vda</c>.</summary>
    public required string Path { get; init; }

    /// <summary>The populated bytes of the continuous progress: all that needs no streaming any more.</summary>
    public required long Offset { get; init; }

    /// <summary>The disk's size in bytes.</summary>
    public required long Size { get; init; }

    /// <summary>The stream's id; null where the disk was never streamed.</summary>
    public required Guid? StreamId { get; init; }

    /// <summary>The configured name of the host.</summary>
    public required string Host { get; init; }

    /// <summary>The domain's UUID.</summary>
    public required Guid Domain { get; init; }

    public required string DomainName { get; init; }
    public required StreamMode? Mode { get; init; }

    /// <summary>The engine at work.</summary>
    public required StreamEngine? Engine { get; init; }

    /// <summary>Why the engine is not the usual one, where the request left it open.</summary>
    public required string? EngineReason { get; init; }

    public required StreamState State { get; init; }

    /// <summary>The backing image that stays, by its source; null where the whole chain is streamed.</summary>
    public required string? Base { get; init; }

    /// <summary>Bytes per second; 0 is unlimited.</summary>
    public required long Bandwidth { get; init; }

    /// <summary>adaptive: what the guest's load does not push it below, in bytes per second; 0 is 1 MiB per second.</summary>
    public required long MinBandwidth { get; init; }

    public required StreamPolicy? Policy { get; init; }

    /// <summary>adaptive: the guest's mean latency to stay under, in milliseconds; null where it is learned.</summary>
    public required double? TargetLatencyMs { get; init; }

    public required StreamPriority? Priority { get; init; }
    public required StreamOnError? OnError { get; init; }

    /// <summary>Where in the disk it begins.</summary>
    public required StreamOrder? Order { get; init; }

    /// <summary>Bytes that this job brought into the overlay.</summary>
    public required long BytesStreamed { get; init; }

    /// <summary>Of those, bytes that a flush has put on stable storage.</summary>
    public required long BytesDurable { get; init; }

    /// <summary>Bytes that are still only in the backing chain; holes do not count. Null while not known.</summary>
    public required long? BytesRemaining { get; init; }

    public required long BytesPerSecond { get; init; }

    /// <summary>Seconds to the end at the present rate; null where there is no rate to tell it by.</summary>
    public required double? EtaSeconds { get; init; }

    /// <summary>
    /// Why it waits, for its turn or for what is missing; while it runs, why it is slower than it could be
    /// (<c>guest latency 7.1 ms over 5.0 ms: 12 MiB/s</c>). Null at full speed.
    /// </summary>
    public required string? Reason { get; init; }

    /// <summary>Attempts in a row that failed; 0 while all goes well.</summary>
    public required int Attempt { get; init; }

    /// <summary>waiting: when it tries again by itself; null where it does not wait for that.</summary>
    public required DateTimeOffset? NextAttemptAt { get; init; }

    /// <summary>The last fault that it waited out, kept after it went on; null where there was none.</summary>
    public required StreamProblem? LastError { get; init; }

    /// <summary>Why it failed, as a problem document.</summary>
    public required StreamProblem? Error { get; init; }

    public required DateTimeOffset? CreatedAt { get; init; }
    public required DateTimeOffset? StartedAt { get; init; }
    public required DateTimeOffset? UpdatedAt { get; init; }
    public required DateTimeOffset? FinishedAt { get; init; }

    /// <summary>
    /// When all that the image's profile names was in the overlay: from then on a guest boots without its source. Null before that,
    /// and where the image has no profile.
    /// </summary>
    public required DateTimeOffset? BootReadyAt { get; init; }

    /// <summary>What the image's profile names and is still only in the backing chain, in bytes; null where there is no profile, or none was looked for.</summary>
    public required long? HotRemaining { get; init; }

    /// <summary>adaptive: what the guest's reads and writes took lately, in milliseconds; null where nobody looks, or the guest leaves the disk alone.</summary>
    public required double? GuestLatencyMs { get; init; }

    /// <summary>The budgets that it is under while it runs, and its share of each.</summary>
    public required IReadOnlyList<BudgetShareView> Budgets { get; init; }

    /// <summary>Rises with every snapshot of the disk.</summary>
    public required long Generation { get; init; }

    public static StreamStatusView From(StreamStatus status) => new()
    {
        Path = status.Disk.Target,
        Offset = status.Offset,
        Size = status.Size,
        StreamId = status.StreamId,
        Host = status.Disk.Host,
        Domain = status.Disk.Domain,
        DomainName = status.DomainName,
        Mode = status.Mode,
        Engine = status.Engine,
        EngineReason = status.EngineReason,
        State = status.State,
        Base = status.Spec.Base,
        Bandwidth = status.Spec.Bandwidth,
        MinBandwidth = status.Spec.MinBandwidth,
        Policy = status.Spec.Policy,
        TargetLatencyMs = status.Spec.TargetLatencyMs,
        Priority = status.Spec.Priority,
        OnError = status.Spec.OnError,
        Order = status.Spec.Order,
        BytesStreamed = status.BytesStreamed,
        BytesDurable = status.BytesDurable,
        BytesRemaining = status.BytesRemaining,
        BytesPerSecond = status.BytesPerSecond,
        EtaSeconds = status.EtaSeconds,
        Reason = status.Reason,
        Attempt = status.Attempt,
        NextAttemptAt = status.NextAttemptAt,
        LastError = status.LastError is { } passing ? StreamProblem.From(passing, "The stream was held up.") : null,
        Error = status.Error is { } error ? StreamProblem.From(error, "The stream failed.") : null,
        CreatedAt = status.CreatedAt,
        StartedAt = status.StartedAt,
        UpdatedAt = status.UpdatedAt,
        FinishedAt = status.FinishedAt,
        BootReadyAt = status.BootReadyAt,
        HotRemaining = status.HotRemaining,
        GuestLatencyMs = status.GuestLatencyMs,
        Budgets = [.. status.Budgets.Select(budget => new BudgetShareView(budget.Name, budget.BytesPerSecond, budget.Share))],
        Generation = status.Generation,
    };

    /// <summary>The status of a disk that was never streamed.</summary>
    public static StreamStatusView Idle(DiskAddress disk, string domainName, long size) => new()
    {
        Path = disk.Target,
        Offset = 0,
        Size = size,
        StreamId = null,
        Host = disk.Host,
        Domain = disk.Domain,
        DomainName = domainName,
        Mode = null,
        Engine = null,
        EngineReason = null,
        State = StreamState.Idle,
        Base = null,
        Bandwidth = 0,
        MinBandwidth = 0,
        Policy = null,
        TargetLatencyMs = null,
        Priority = null,
        OnError = null,
        Order = null,
        BytesStreamed = 0,
        BytesDurable = 0,
        BytesRemaining = null,
        BytesPerSecond = 0,
        EtaSeconds = null,
        Reason = null,
        Attempt = 0,
        NextAttemptAt = null,
        LastError = null,
        Error = null,
        CreatedAt = null,
        StartedAt = null,
        UpdatedAt = null,
        FinishedAt = null,
        BootReadyAt = null,
        HotRemaining = null,
        GuestLatencyMs = null,
        Budgets = [],
        Generation = 0,
    };
}

/// <summary>A budget on a stream's way.</summary>
/// <param name="BytesPerSecond">The budget's pace now; 0 is unlimited.</param>
/// <param name="Share">What of it is the stream's, by the weight of its priority among those that want some of it now, in bytes per second; 0 where the budget is unlimited.</param>
public sealed record BudgetShareView(string Name, long BytesPerSecond, long Share);

/// <summary>The error of a stream, in the form of a problem document (RFC 9457).</summary>
public sealed record StreamProblem(string Type, string Title, string Detail, string Code)
{
    /// <summary>Begins the type of every problem; the code follows.</summary>
    public const string TypePrefix = "urn:streamservice:problem:";

    public static StreamProblem From(StreamError error, string title) => new(TypePrefix + error.Code, title, error.Detail, error.Code);
}
