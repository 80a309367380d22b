namespace StreamService.Hypervisors;

/// <summary>
/// The one seam to the outside: one host's hypervisor. Everything above it is the same for every kind of host.
/// </summary>
/// <remarks>
/// Every member may throw <see cref="HostUnreachableException"/> (no connection, or no answer in time) and
/// <see cref="HypervisorException"/> (refused). Members that name a domain throw <see cref="DomainNotFoundException"/>,
/// those that need its QEMU process <see cref="DomainNotRunningException"/>, those that name a disk
/// <see cref="DiskNotFoundException"/>. Answers may be up to half a second old unless an event said otherwise.
/// </remarks>
public interface IHypervisor
{
    /// <summary>What is known of the host now. Never blocks.</summary>
    HostInfo Info { get; }

    /// <summary>Raised when something happened to a domain (started, stopped, block job ended, disk unplugged) or, with null,
    /// to the connection. A hint to look again, never the news itself: events are not replayed. Must not block.</summary>
    event Action<Guid?>? Changed;

    /// <summary>
    /// Connects, and connects again whenever the connection is lost, until <paramref name="stopping"/>; gives back then what it holds
    /// on the host. May be called again once it has returned.
    /// </summary>
    /// <param name="term">While it is not held, nothing is asked of the host.</param>
    Task RunAsync(HostTerm term, CancellationToken stopping);

    /// <summary>All domains of the host with their disks.</summary>
    Task<IReadOnlyList<DomainInfo>> ListDomainsAsync(CancellationToken cancellationToken);

    /// <summary>The domain with that UUID or name; null where the host has none.</summary>
    Task<DomainInfo?> FindDomainAsync(string idOrName, CancellationToken cancellationToken);

    /// <summary>
    /// Exports the disk's active layer read-only from inside its QEMU over NBD, or shares the export that is there.
    /// Dispose of the lease to give it back; the export stays warm for a few seconds.
    /// </summary>
    /// <param name="evenOff">
    /// Whether the image of a domain that is shut off may be opened here instead, where it can be
    /// (<see cref="DiskInfo.OpensOffline"/>). The domain cannot start until the lease is given back. Otherwise such a disk can
    /// only be shared with somebody who has it open.
    /// </param>
    /// <exception cref="ExportUnavailableException">This QEMU cannot export it, or somebody else uses its only NBD server.</exception>
    Task<DiskExport> ExportDiskAsync(Guid domain, string target, bool evenOff, CancellationToken cancellationToken);

    /// <summary>The hypervisor's own block job on the disk; null where none runs.</summary>
    Task<BlockJobInfo?> FindBlockJobAsync(Guid domain, string target, CancellationToken cancellationToken);

    /// <summary>
    /// Has the hypervisor begin its own stream job, which copies what is missing above <paramref name="baseImage"/> (null:
    /// of the whole chain) and then makes that image the disk's backing image, or drops the backing link altogether. A job
    /// that a killed service left is taken up, or ended first; either way nothing that it populated is lost.
    /// </summary>
    /// <remarks>
    /// A hypervisor that cannot hold the job at its end (libvirt) drops the link before the copied clusters are on stable
    /// storage: everything should be populated and flushed beforehand, or a crash right after can lose it.
    /// </remarks>
    /// <param name="bandwidth">Bytes per second; 0 is unlimited.</param>
    Task<INativeJob> BeginNativeJobAsync(Guid domain, string target, string? baseImage, long bandwidth, CancellationToken cancellationToken);

    /// <summary>
    /// Has QEMU put the disk on stable storage, for a disk that cannot be exported. Weaker than a flush over an export:
    /// QEMU does not tell whether it failed.
    /// </summary>
    Task FlushWithoutExportAsync(Guid domain, string target, CancellationToken cancellationToken);

    /// <summary>The room that the disk's active layer has to grow; null where that is no file, or nobody can tell.</summary>
    Task<LayerSpace?> FindSpaceAsync(Guid domain, string target, CancellationToken cancellationToken);

    /// <summary>What the guest itself did to the disk since the domain started.</summary>
    Task<GuestIo> GetGuestIoAsync(Guid domain, string target, CancellationToken cancellationToken);
}
