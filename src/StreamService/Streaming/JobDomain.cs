using StreamService.Hypervisors;
using StreamService.Streaming.Budgets;

namespace StreamService.Streaming;

/// <summary>What the hypervisor says of a job's domain.</summary>
internal static class JobDomain
{
    /// <summary>What decides which limits a job is under. To be asked anew for each run: chain and labels change.</summary>
    /// <exception cref="DomainNotRunningException">It is shut off, and the job was not begun on a domain that is.</exception>
    public static async Task<StreamScope> FindScopeAsync(IHypervisor hypervisor, StreamStatus job, CancellationToken cancellationToken)
    {
        var domain = await hypervisor.FindDomainAsync(job.Disk.Domain.ToString(), cancellationToken)
            ?? throw new DomainNotFoundException(job.Disk.Domain.ToString());
        var disk = domain.FindDisk(job.Disk.Target) ?? throw new DiskNotFoundException(domain.Name, job.Disk.Target);
        if (!domain.IsActive && !job.Spec.Offline)
            throw new DomainNotRunningException(domain.Name);
        var streamed = disk.BackingChain.TakeWhile(image => image.Source != job.Spec.Base);
        return new StreamScope(job.Disk.Host, streamed.Select(image => ImageSource.Of(image.Source)).ToHashSet(), domain.Labels.ToHashSet());
    }
}
