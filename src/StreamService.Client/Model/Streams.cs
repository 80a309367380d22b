namespace StreamService.Client;

/// <summary>What a stream is doing.</summary>
public enum StreamState
{
    /// <summary>A state that this version does not know.</summary>
    Unknown,

    /// <summary>The disk was never streamed.</summary>
    Idle,

    /// <summary>Accepted; its turn has not come yet.</summary>
    Queued,

    /// <summary>It populates the overlay.</summary>
    Running,

    /// <summary>A caller asked it to rest.</summary>
    Paused,

    /// <summary>Something is missing; it retries by itself and says in <see cref="StreamStatus.Reason"/> what.</summary>
    Waiting,

    /// <summary>All is populated: flush, drop the backing link, flush again.</summary>
    Finalizing,

    /// <summary>The disk is independent of what was streamed, and on stable storage.</summary>
    Completed,

    /// <summary>It ended with an error. The disk is valid, what was populated stays.</summary>
    Failed,

    /// <summary>A caller ended it. The disk is valid, what was populated stays.</summary>
    Cancelled,
}

/// <summary>The whole device in the background, or one unit now.</summary>
public enum StreamMode
{
    Unknown,
    Full,
    Single,
}

/// <summary>Whether a stream makes room for the guest.</summary>
public enum StreamPolicy
{
    Unknown,

    /// <summary>Gives way to the guest.</summary>
    Adaptive,

    /// <summary>Holds the bandwidth whatever the guest does.</summary>
    Fixed,
}

/// <summary>A stream's weight against others: 1, 4, 16.</summary>
public enum StreamPriority
{
    Unknown,
    Low,
    Normal,
    High,
}

/// <summary>What a stream does when an I/O request fails.</summary>
public enum StreamOnError
{
    Unknown,

    /// <summary>Waits and retries.</summary>
    Stop,

    /// <summary>Ends as failed.</summary>
    Report,
}

/// <summary>Who populates the overlay.</summary>
public enum StreamEngine
{
    Unknown,

    /// <summary>Many requests in flight over NBD, flushed before the link is dropped.</summary>
    Pipelined,

    /// <summary>The hypervisor's own job.</summary>
    Native,
}

/// <summary>Where in the disk a stream begins.</summary>
public enum StreamOrder
{
    Unknown,
    Sequential,

    /// <summary>What the image's profile names, then the rest.</summary>
    HotFirst,
}

/// <summary>A full stream: what to stream, and how. Members left out have the service's defaults.</summary>
public sealed record StreamOptions
{
    /// <summary>A backing image of the chain, by its source, that stays. Default: none.</summary>
    public string? Base { get; init; }

    /// <summary>Bytes per second; 0 is unlimited.</summary>
    public long? Bandwidth { get; init; }

    /// <summary>Default adaptive.</summary>
    public StreamPolicy? Policy { get; init; }

    /// <summary>adaptive: the guest's mean latency to stay under, in milliseconds. Default: learned.</summary>
    public double? TargetLatencyMs { get; init; }

    /// <summary>adaptive: bytes per second that the guest's load does not push it below. Default 1 MiB.</summary>
    public long? MinBandwidth { get; init; }

    /// <summary>Default normal.</summary>
    public StreamPriority? Priority { get; init; }

    /// <summary>Default stop.</summary>
    public StreamOnError? OnError { get; init; }

    /// <summary>Default: pipelined, or native where the disk cannot be exported.</summary>
    public StreamEngine? Engine { get; init; }

    /// <summary>Default sequential.</summary>
    public StreamOrder? Order { get; init; }

    /// <summary>Always full; single steps are <see cref="DiskClient.StepAsync"/>.</summary>
    public StreamMode Mode { get; } = StreamMode.Full;
}

/// <summary>What to change in a stream; members left out stay as they are.</summary>
public sealed record StreamChange
{
    /// <summary>Bytes per second; 0 is unlimited.</summary>
    public long? Bandwidth { get; init; }

    public StreamPolicy? Policy { get; init; }

    public StreamPriority? Priority { get; init; }

    /// <summary>In milliseconds.</summary>
    public double? TargetLatencyMs { get; init; }

    /// <summary>Bytes per second.</summary>
    public long? MinBandwidth { get; init; }

    /// <summary><see cref="StreamState.Paused"/> or <see cref="StreamState.Running"/>.</summary>
    public StreamState? State { get; init; }
}

/// <summary>A picture of a stream.</summary>
public sealed record StreamStatus : ApiRecord
{
    /// <summary>The disk's target, for example <c>vda</c>.</summary>
    public string Path { get; init; } = "";

    /// <summary>The populated bytes of the continuous progress.</summary>
    public long Offset { get; init; }

    /// <summary>The disk's size in bytes.</summary>
    public long Size { get; init; }

    /// <summary>Null where the disk was never streamed.</summary>
    public Guid? StreamId { get; init; }

    /// <summary>The configured name of the host.</summary>
    public string Host { get; init; } = "";

    /// <summary>The domain's UUID.</summary>
    public Guid Domain { get; init; }

    public string DomainName { get; init; } = "";

    public StreamMode? Mode { get; init; }

    public StreamEngine? Engine { get; init; }

    /// <summary>Why the engine is not the usual one.</summary>
    public string? EngineReason { get; init; }

    public StreamState State { get; init; }

    /// <summary>The backing image that stays; null where the whole chain is streamed.</summary>
    public string? Base { get; init; }

    /// <summary>Bytes per second; 0 is unlimited.</summary>
    public long Bandwidth { get; init; }

    /// <summary>Bytes per second.</summary>
    public long MinBandwidth { get; init; }

    public StreamPolicy? Policy { get; init; }

    public double? TargetLatencyMs { get; init; }

    public StreamPriority? Priority { get; init; }

    public StreamOnError? OnError { get; init; }

    public StreamOrder? Order { get; init; }

    /// <summary>Bytes that this stream brought in.</summary>
    public long BytesStreamed { get; init; }

    /// <summary>Of those, bytes on stable storage.</summary>
    public long BytesDurable { get; init; }

    /// <summary>Bytes that are only in the backing chain; null while not known.</summary>
    public long? BytesRemaining { get; init; }

    public long BytesPerSecond { get; init; }

    /// <summary>Seconds to the end at the present rate; null where there is none.</summary>
    public double? EtaSeconds { get; init; }

    /// <summary>Why it waits, or is slower than it could be.</summary>
    public string? Reason { get; init; }

    /// <summary>Attempts in a row that failed.</summary>
    public int Attempt { get; init; }

    public DateTimeOffset? NextAttemptAt { get; init; }

    /// <summary>The last fault that it waited out.</summary>
    public Problem? LastError { get; init; }

    /// <summary>Why it failed.</summary>
    public Problem? Error { get; init; }

    public DateTimeOffset? CreatedAt { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    public DateTimeOffset? UpdatedAt { get; init; }

    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>When all that the image's profile names was in the overlay.</summary>
    public DateTimeOffset? BootReadyAt { get; init; }

    /// <summary>Rises with every picture of the disk.</summary>
    public long Generation { get; init; }

    /// <summary>Whether nothing follows.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsOver => State is StreamState.Completed or StreamState.Failed or StreamState.Cancelled;
}

/// <summary>What a single step did.</summary>
public sealed record StepResult : ApiRecord
{
    /// <summary>The disk's target.</summary>
    public string Path { get; init; } = "";

    /// <summary>Where the next step should go on; the disk's size once done.</summary>
    public long Offset { get; init; }

    /// <summary>The disk's size in bytes.</summary>
    public long Size { get; init; }

    /// <summary>Bytes that the step brought in.</summary>
    public long Populated { get; init; }

    /// <summary>Nothing is left on the whole disk, and the backing link is dropped.</summary>
    public bool Done { get; init; }
}

/// <summary>A change of a stream's state, as it was put on record.</summary>
public sealed record StreamEvent : ApiRecord
{
    public DateTimeOffset Time { get; init; }

    public StreamState State { get; init; }

    public string? Reason { get; init; }

    public Problem? Error { get; init; }

    public long Generation { get; init; }
}
