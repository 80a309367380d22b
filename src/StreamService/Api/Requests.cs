using System.ComponentModel.DataAnnotations;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>The body of POST …/stream.</summary>
public sealed class StreamRequest : IValidatableObject
{
    /// <summary>The largest number of bytes that is taken for meant: 8 EiB less one, what QEMU itself can address.</summary>
    internal const long LargestSize = long.MaxValue;

    /// <summary><c>full</c> streams the whole device in the background, <c>single</c> one unit now.</summary>
    [Required(ErrorMessage = "is required: full or single.")]
    public StreamMode? Mode { get; set; }

    /// <summary>single: where the unit begins, in bytes; a multiple of 512, below the disk's size. Default 0.</summary>
    [Range(0, LargestSize, ErrorMessage = "must not be negative.")]
    public long? Offset { get; set; }

    /// <summary>single: how many bytes; a multiple of 512, at most 1 GiB. Default: one cluster.</summary>
    public long? Length { get; set; }

    /// <summary>A backing image of the chain, by its source, that stays as the new backing image. Default: none stays.</summary>
    [MinLength(1, ErrorMessage = "must not be empty.")]
    public string? Base { get; set; }

    /// <summary>full: bytes per second; 0, the default, is unlimited.</summary>
    [Range(0, LargestBandwidth, ErrorMessage = "must be 0 (unlimited) to 1125899906842624 bytes per second.")]
    public long? Bandwidth { get; set; }

    /// <summary>full: whether it gives way to the guest. Default adaptive.</summary>
    public StreamPolicy? Policy { get; set; }

    /// <summary>
    /// full, adaptive: mean latency of the guest's reads and writes to stay under, in milliseconds.
    /// Default: learned from the guest's quiet moments, at most 5.
    /// </summary>
    [Range(SmallestLatency, LargestLatency, ErrorMessage = LatencyFault)]
    public double? TargetLatencyMs { get; set; }

    /// <summary>full, adaptive: bytes per second that the guest's load does not push it below; 0, the default, is 1 MiB per second.</summary>
    [Range(0, LargestBandwidth, ErrorMessage = BandwidthFault)]
    public long? MinBandwidth { get; set; }

    /// <summary>full: its weight against others under a budget: 1, 4, 16. Default normal.</summary>
    public StreamPriority? Priority { get; set; }

    /// <summary>full: <c>stop</c>, the default, waits and retries; <c>report</c> fails.</summary>
    public StreamOnError? OnError { get; set; }

    /// <summary>full: who populates. Default: pipelined, or native where the disk cannot be exported. single is always pipelined.</summary>
    public StreamEngine? Engine { get; set; }

    /// <summary>full: where it begins. Default sequential.</summary>
    public StreamOrder? Order { get; set; }

    /// <summary>1 PiB per second: beyond any storage, so a mistake.</summary>
    internal const long LargestBandwidth = 1L << 50;

    internal const string BandwidthFault = "must be 0 to 1125899906842624 bytes per second.";

    /// <summary>Milliseconds: below what any device needs, so a mistake.</summary>
    internal const double SmallestLatency = 0.01;

    /// <summary>Milliseconds: a guest takes its disk for dead by then.</summary>
    internal const double LargestLatency = 30_000;

    internal const string LatencyFault = "must be 0.01 to 30000 milliseconds.";

    /// <summary>What one call may bring in, so that it ends within a caller's patience.</summary>
    internal const long LargestLength = 1L << 30;

    /// <summary>NBD and guests alike count in sectors.</summary>
    internal const int SectorSize = 512;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Offset is { } offset && offset % SectorSize != 0)
            yield return new ValidationResult($"must be a multiple of {SectorSize}; was {offset}.", ["offset"]);
        if (Length is { } length && (length < SectorSize || length > LargestLength || length % SectorSize != 0))
            yield return new ValidationResult($"must be a multiple of {SectorSize} from {SectorSize} to {LargestLength}; was {length}.", ["length"]);
        if (Mode == StreamMode.Full)
            foreach (var (name, given) in new[] { ("offset", Offset is not null), ("length", Length is not null) })
                if (given)
                    yield return new ValidationResult("goes with mode single only.", [name]);
        if (Mode == StreamMode.Single && Engine == StreamEngine.Native)
            yield return new ValidationResult("must be pipelined with mode single: a hypervisor's own job cannot stream one unit.", ["engine"]);
    }

    /// <summary>The full stream that is asked for.</summary>
    internal StreamSpec ToSpec() => new(
        Base,
        Bandwidth ?? 0,
        Policy ?? StreamPolicy.Adaptive,
        Priority ?? StreamPriority.Normal,
        OnError ?? StreamOnError.Stop,
        Engine,
        Order ?? StreamOrder.Sequential)
    {
        TargetLatencyMs = TargetLatencyMs,
        MinBandwidth = MinBandwidth ?? 0,
    };
}

/// <summary>What PATCH …/stream may ask the state to become.</summary>
[System.Text.Json.Serialization.JsonConverter(typeof(CamelCaseEnumConverter<RequestedState>))]
public enum RequestedState
{
    Paused,
    Running,
}

/// <summary>The body of PATCH …/stream; members left out stay as they are.</summary>
public sealed class StreamChangeRequest
{
    /// <summary>Bytes per second; 0 is unlimited.</summary>
    [Range(0, StreamRequest.LargestBandwidth, ErrorMessage = "must be 0 (unlimited) to 1125899906842624 bytes per second.")]
    public long? Bandwidth { get; set; }

    public StreamPolicy? Policy { get; set; }

    public StreamPriority? Priority { get; set; }

    /// <summary>Mean latency of the guest's reads and writes to stay under, in milliseconds.</summary>
    [Range(StreamRequest.SmallestLatency, StreamRequest.LargestLatency, ErrorMessage = StreamRequest.LatencyFault)]
    public double? TargetLatencyMs { get; set; }

    /// <summary>Bytes per second that the guest's load does not push it below; 0 is 1 MiB per second.</summary>
    [Range(0, StreamRequest.LargestBandwidth, ErrorMessage = StreamRequest.BandwidthFault)]
    public long? MinBandwidth { get; set; }

    /// <summary>Pauses or resumes.</summary>
    public RequestedState? State { get; set; }

    /// <exception cref="InvalidRequestException">It changes nothing.</exception>
    internal StreamChange ToChange()
    {
        // Not among the validations: a member that could not be read is not there either, and is its own fault.
        if (Bandwidth is null && Policy is null && Priority is null && TargetLatencyMs is null && MinBandwidth is null && State is null)
            throw new InvalidRequestException("", "The request changes nothing: give bandwidth, minBandwidth, policy, targetLatencyMs, priority or state.");
        return new(Bandwidth, Policy, Priority, State switch
        {
            RequestedState.Paused => true,
            RequestedState.Running => false,
            _ => null,
        })
        {
            TargetLatencyMs = TargetLatencyMs,
            MinBandwidth = MinBandwidth,
        };
    }
}
