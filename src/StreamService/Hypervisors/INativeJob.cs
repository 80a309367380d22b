namespace StreamService.Hypervisors;

/// <summary>Where a hypervisor's own stream job stands.</summary>
public enum NativeJobPhase
{
    /// <summary>It copies, or rests for a moment.</summary>
    Running,

    /// <summary>It has copied everything and waits for <see cref="INativeJob.FinalizeAsync"/>; the backing link is still there.</summary>
    Pending,

    /// <summary>It is over: well, or with an error. Nothing of it is left.</summary>
    Ended,
}

/// <summary>One look at a hypervisor's own stream job.</summary>
/// <param name="Offset">Bytes looked at so far, holes and what was populated before included.</param>
/// <param name="Length">Bytes in all.</param>
/// <param name="Error">Why it failed, in the hypervisor's own words; null while it runs and where it did not.</param>
public readonly record struct NativeJobStatus(NativeJobPhase Phase, long Offset, long Length, string? Error);

/// <summary>
/// The hypervisor's own stream job on one disk (QEMU's block-stream, virDomainBlockPull), begun by
/// <see cref="IHypervisor.BeginNativeJobAsync"/>. Errors are those of <see cref="IHypervisor"/>.
/// </summary>
public interface INativeJob
{
    /// <summary>Where it stands. Once it has ended the job is gone, and this goes on answering the same.</summary>
    Task<NativeJobStatus> AskAsync(CancellationToken cancellationToken);

    /// <summary>Changes its pace; bytes per second, 0 is unlimited.</summary>
    Task SetBandwidthAsync(long bandwidth, CancellationToken cancellationToken);

    /// <summary>Lets a pending job drop the backing link. Only a hypervisor that can hold a job ever shows one as pending.</summary>
    Task FinalizeAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Ends it early and returns when it is gone; what it populated stays. With a source that does not answer that takes
    /// until QEMU itself gives the source up.
    /// </summary>
    Task AbortAsync(CancellationToken cancellationToken);
}
