using StreamService.Hypervisors;
using StreamService.Qemu.Nbd;

namespace StreamService.Streaming;

/// <summary>Which faults end a stream, which it waits out, and how they are told.</summary>
internal static class StreamFaults
{
    /// <summary>The code of a fault that is a bug of ours.</summary>
    public const string InternalError = "internal-error";

    /// <summary>The code of a fault that more space mends.</summary>
    private const string InsufficientStorage = "insufficient-storage";

    private const string HostUnreachable = "host-unreachable", DomainNotRunning = "domain-not-running", HypervisorError = "hypervisor-error";

    /// <summary>The codes of faults that are waited out.</summary>
    public static IReadOnlyList<string> PassingCodes { get; } = [InsufficientStorage, HostUnreachable, DomainNotRunning, HypervisorError];

    /// <summary>What a stream waits for that waits without a fault: an answer.</summary>
    public const string Stalled = "stalled";

    /// <summary>A fault that is waited out, as callers see it.</summary>
    public static StreamError Passing(Exception fault) => new(fault switch
    {
        InsufficientSpaceException or NbdCommandException { Error: NbdError.ENOSPC } => InsufficientStorage,
        HostUnreachableException => HostUnreachable,
        DomainNotRunningException => DomainNotRunning,
        _ => HypervisorError,
    }, Describe(fault));

    /// <summary>The error that the stream ends with; null for a fault that a retry may mend.</summary>
    public static StreamError? FindEnd(Exception fault, StreamOnError onError) => fault switch
    {
        DomainNotFoundException => new("domain-not-found", fault.Message),
        DiskNotFoundException => new("disk-not-found", fault.Message),
        BaseLostException => new("base-not-in-chain", fault.Message),
        InsufficientSpaceException or NbdCommandException { Error: NbdError.ENOSPC } when onError == StreamOnError.Report => new(InsufficientStorage, Describe(fault)),
        NbdCommandException or HypervisorException when onError == StreamOnError.Report => new(HypervisorError, Describe(fault)),
        NbdException or HypervisorException or HostUnreachableException or DomainNotRunningException or InsufficientSpaceException => null,
        _ => new(InternalError, $"{fault.GetType().Name}: {fault.Message}"),
    };

    /// <summary>The fault in a sentence for whoever watches the stream.</summary>
    public static string Describe(Exception fault) => fault switch
    {
        NbdCommandException { Error: NbdError.ENOSPC } refused => $"No space is left where the overlay is stored: {Sentence(refused.Message)}",
        NbdCommandException refused => $"QEMU could not populate a range: {Sentence(refused.Message)}",
        NbdException broken => $"The connection to QEMU broke: {Sentence(broken.Message)}",
        _ => Sentence(fault.Message),
    };

    private static string Sentence(string text) => text.EndsWith('.') ? text : text + ".";
}
