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

    /// <summary>Connects, and connects again whenever the connection is lost, until <paramref name="stopping"/>.</summary>
    Task RunAsync(CancellationToken stopping);

    /// <summary>All domains of the host with their disks.</summary>
    Task<IReadOnlyList<DomainInfo>> ListDomainsAsync(CancellationToken cancellationToken);

    /// <summary>The domain with that UUID or name; null where the host has none.</summary>
    Task<DomainInfo?> FindDomainAsync(string idOrName, CancellationToken cancellationToken);

    /// <summary>
    /// Exports the disk's active layer read-only from inside its QEMU over NBD, or shares the export that is there.
    /// Dispose of the lease to give it back; the export stays warm for a few seconds.
    /// </summary>
    Task<DiskExport> ExportDiskAsync(Guid domain, string target, CancellationToken cancellationToken);

    /// <summary>The hypervisor's own block job on the disk; null where none runs.</summary>
    Task<BlockJobInfo?> FindBlockJobAsync(Guid domain, string target, CancellationToken cancellationToken);

    /// <summary>
    /// Has the hypervisor make <paramref name="baseImage"/> the disk's backing image, or drop the backing link altogether
    /// for null, and returns when that is done. Everything above the base must be populated and flushed beforehand: the
    /// hypervisor would copy what is not, and a crash right after could lose it. Takes up a pull that runs already.
    /// </summary>
    Task DropBackingLinkAsync(Guid domain, string target, string? baseImage, CancellationToken cancellationToken);

    /// <summary>What the guest itself did to the disk since the domain started.</summary>
    Task<GuestIo> GetGuestIoAsync(Guid domain, string target, CancellationToken cancellationToken);
}
