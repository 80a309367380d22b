using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Qemu.Nbd;

namespace StreamService.Streaming;

/// <summary>What a fault means for a stream job: it is over, or it tries again. Pure.</summary>
internal static class JobFault
{
    /// <summary>The code of a fault that nobody foresaw.</summary>
    public const string Bug = "internal-error";

    /// <summary>The error that the job ends with; null where trying again can help.</summary>
    public static StreamError? EndOf(Exception fault, StreamOnError onError) => fault switch
    {
        DomainNotFoundException => new("domain-not-found", fault.Message),
        DiskNotFoundException => new("disk-not-found", fault.Message),
        BaseLostException => new("base-not-in-chain", fault.Message),
        NbdCommandException or HypervisorException when onError == StreamOnError.Report => new("hypervisor-error", Describe(fault)),
        NbdException or HypervisorException or HostUnreachableException or DomainNotRunningException => null,
        _ => new(Bug, $"{fault.GetType().Name}: {fault.Message}"),
    };

    /// <summary>The pause after a failed attempt: doubled each time, up to the limit.</summary>
    public static TimeSpan DelayAfter(int attempt, StreamingOptions options) => TimeSpan.FromSeconds(Math.Min(
        options.RetryDelay.TotalSeconds * Math.Pow(2, Math.Min(attempt - 1, 20)),
        options.RetryDelayLimit.TotalSeconds));

    /// <summary>What happened, in a sentence.</summary>
    public static string Describe(Exception fault) => fault switch
    {
        NbdCommandException refused => $"QEMU could not populate a range: {refused.Message}.",
        NbdException broken => $"The connection to QEMU broke: {broken.Message}.",
        _ => fault.Message,
    };
}
