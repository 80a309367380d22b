using StreamService.Hypervisors;
using StreamService.Streaming;

namespace StreamService.Storage;

/// <summary>One stream job as it is kept. Progress itself lives in the image; this is the story around it.</summary>
public sealed class StreamRecord
{
    public required Guid StreamId { get; init; }
    public required string Host { get; init; }
    public required Guid Domain { get; init; }
    public required string DomainName { get; init; }
    public required string Target { get; init; }
    public required long Size { get; init; }
    public required StreamMode Mode { get; init; }
    public required string? Base { get; init; }
    public required StreamOnError OnError { get; init; }

    /// <summary>The engine that the caller asked for; null where it was left open.</summary>
    public required StreamEngine? EngineAsked { get; init; }

    public required StreamOrder Order { get; init; }

    /// <summary>Begun while the domain was shut off.</summary>
    public required bool Offline { get; init; }

    /// <summary>It does not begin before; null where nothing holds it back.</summary>
    public required DateTimeOffset? NotBefore { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The domain's <see cref="LabelSet"/>.</summary>
    public required string? Labels { get; init; }

    /// <summary>See <see cref="StreamStatus.TraceParent"/>.</summary>
    public required string? TraceParent { get; init; }

    /// <summary>The Idempotency-Key it was started with.</summary>
    public required string? IdempotencyKey { get; init; }

    public StreamEngine Engine { get; set; }
    public string? EngineReason { get; set; }
    public long Bandwidth { get; set; }
    public StreamPolicy Policy { get; set; }
    public StreamPriority Priority { get; set; }
    public double? TargetLatencyMs { get; set; }
    public long MinBandwidth { get; set; }
    public StreamState State { get; set; }
    public long BytesStreamed { get; set; }
    public long BytesDurable { get; set; }
    public long? BytesRemaining { get; set; }

    /// <summary>As it was when the record was written, at most a second ago while the stream runs: what lists are sorted and summed by.</summary>
    public long BytesPerSecond { get; set; }

    /// <inheritdoc cref="BytesPerSecond"/>
    public long? EtaSeconds { get; set; }

    public string? Reason { get; set; }
    public string? ErrorCode { get; set; }
    public string? ErrorDetail { get; set; }
    public int Attempt { get; set; }
    public string? LastErrorCode { get; set; }
    public string? LastErrorDetail { get; set; }
    public DateTimeOffset? StartedAt { get; set; }
    public DateTimeOffset UpdatedAt { get; set; }
    public DateTimeOffset? FinishedAt { get; set; }
    public DateTimeOffset? BootReadyAt { get; set; }

    /// <summary>Of the <see cref="HostTerm"/> that wrote it; an earlier one can write it no more.</summary>
    public long Epoch { get; set; }

    /// <summary>Of this picture; 0 in records of versions that did not keep it.</summary>
    public long Generation { get; set; }

    /// <summary>
    /// No snapshot with a higher generation was ever shown. Kept ahead of what was shown, so that generations go on rising
    /// after a crash without a write for each of them.
    /// </summary>
    public long GenerationLimit { get; set; }

    /// <summary>How far ahead <see cref="GenerationLimit"/> is kept.</summary>
    private const long GenerationReserve = 1024;

    public static StreamRecord From(StreamStatus status, string? idempotencyKey, long epoch) => new()
    {
        StreamId = status.StreamId,
        Host = status.Disk.Host,
        Domain = status.Disk.Domain,
        DomainName = status.DomainName,
        Target = status.Disk.Target,
        Size = status.Size,
        Mode = status.Mode,
        Base = status.Spec.Base,
        OnError = status.Spec.OnError,
        EngineAsked = status.Spec.Engine,
        Order = status.Spec.Order,
        Offline = status.Spec.Offline,
        NotBefore = status.Spec.NotBefore,
        CreatedAt = status.CreatedAt,
        Labels = status.Labels.Text,
        TraceParent = status.TraceParent,
        IdempotencyKey = idempotencyKey,
        Engine = status.Engine,
        EngineReason = status.EngineReason,
        Bandwidth = status.Spec.Bandwidth,
        Policy = status.Spec.Policy,
        Priority = status.Spec.Priority,
        TargetLatencyMs = status.Spec.TargetLatencyMs,
        MinBandwidth = status.Spec.MinBandwidth,
        State = status.State,
        BytesStreamed = status.BytesStreamed,
        BytesDurable = status.BytesDurable,
        BytesRemaining = status.BytesRemaining,
        BytesPerSecond = status.BytesPerSecond,
        EtaSeconds = status.IsFinal ? null : (long?)status.EtaSeconds,
        Reason = status.Reason,
        ErrorCode = status.Error?.Code,
        ErrorDetail = status.Error?.Detail,
        Attempt = status.Attempt,
        LastErrorCode = status.LastError?.Code,
        LastErrorDetail = status.LastError?.Detail,
        StartedAt = status.StartedAt,
        UpdatedAt = status.UpdatedAt,
        FinishedAt = status.FinishedAt,
        BootReadyAt = status.BootReadyAt,
        Epoch = epoch,
        Generation = status.Generation,
        GenerationLimit = status.IsFinal ? status.Generation : status.Generation + GenerationReserve,
    };

    /// <summary>The picture as it was put on record.</summary>
    public StreamStatus ToStatus() => ToStatus(Generation > 0 ? Generation : GenerationLimit);

    /// <summary>The picture that a job goes on from: later than all that were ever shown.</summary>
    public StreamStatus ToGoOn() => ToStatus(GenerationLimit);

    private StreamStatus ToStatus(long generation) => new(
        StreamId,
        new DiskAddress(Host, Domain, Target),
        DomainName,
        Size,
        Mode,
        new StreamSpec(Base, Bandwidth, Policy, Priority, OnError, EngineAsked, Order)
        {
            TargetLatencyMs = TargetLatencyMs,
            MinBandwidth = MinBandwidth,
            Offline = Offline,
            NotBefore = NotBefore,
        },
        Engine,
        EngineReason,
        State,
        BytesStreamed,
        BytesDurable,
        BytesRemaining,
        BytesPerSecond,
        Reason,
        ErrorCode is null ? null : new StreamError(ErrorCode, ErrorDetail ?? ""),
        CreatedAt,
        StartedAt,
        UpdatedAt,
        FinishedAt,
        generation)
    {
        BootReadyAt = BootReadyAt,
        Labels = new LabelSet(Labels),
        TraceParent = TraceParent,
        Attempt = Attempt,
        LastError = LastErrorCode is null ? null : new StreamError(LastErrorCode, LastErrorDetail ?? ""),
    };
}

/// <summary>What the first request with an Idempotency-Key was, and how it was answered.</summary>
public sealed class IdempotencyRecord
{
    public required string Key { get; init; }

    /// <summary>SHA-256 of method, path and body, in hexadecimal.</summary>
    public required string RequestHash { get; init; }

    public required int StatusCode { get; init; }
    public required string? Location { get; init; }
    public required string Body { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
}
