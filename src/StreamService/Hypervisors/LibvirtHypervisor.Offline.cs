using StreamService.Qemu.Libvirt;

namespace StreamService.Hypervisors;

// Disks of domains that are shut off: the service opens their images itself.
public sealed partial class LibvirtHypervisor
{
    private readonly OfflineImages _images;
    private readonly OfflineDisks _offline;

    /// <summary>Why the image cannot be opened here; null where nothing speaks against it.</summary>
    private string? FindOfflineObstacle(DomainDisk disk) =>
        disk.Alias is not null ? "Its QEMU is still there."
        : !IsLocal ? "Its host is not this machine."
        : disk.BackingChainKnown ? "Its definition spells out the disk's backingStore, and would attach the old chain again at the next start."
        : disk.Source is not ['/', ..] ? "Its disk is not a file."
        : disk.Format is not ("qcow2" or "qed") ? "Only qcow2 and qed have a backing image to stream."
        : disk.Shareable ? "Its disk is shared with other domains."
        : !ChildProcesses.CanStart(OfflineDisk.Program) ? $"{OfflineDisk.Program} or setpriv is not installed."
        : null;

    private async Task<DiskInfo> DescribeOfflineAsync(Guid domain, DiskInfo info, DomainDisk disk, CancellationToken cancellationToken)
    {
        var obstacle = FindOfflineObstacle(disk);
        var image = obstacle is not null ? null
            : await _images.FindAsync(disk.Source!, disk.Format!, orLastSeen: _offline.Find(domain, disk.Target) is not null, cancellationToken);
        if (image is null)
            return info with
            {
                Size = await FindSizeAsync(domain, disk, cancellationToken),
                OfflineObstacle = obstacle ?? "The disk's image, or one below it, is missing or cannot be read.",
            };
        return info with
        {
            Size = image.Size,
            ClusterSize = image.ClusterSize,
            BackingChain = image.BackingChain,
            OpensOffline = true,
            Streamable = !info.ReadOnly && image.BackingChain.Count > 0,
        };
    }

    /// <summary>A disk that is open here is as its daemon says it is, to the moment.</summary>
    private async Task<DomainInfo> WithOpenDisksAsync(DomainInfo info, CancellationToken cancellationToken)
    {
        if (info.IsActive || !info.Disks.Any(disk => _offline.Find(info.Id, disk.Target) is not null))
            return info;
        return info with { Disks = await Task.WhenAll(info.Disks.Select(async disk =>
            _offline.Find(info.Id, disk.Target) is { } daemon
                && (await daemon.DescribeAsync(orLastSeen: true, cancellationToken)).FindDisk(disk.Target) is { } open
                ? disk with { Size = open.Size, ClusterSize = open.ClusterSize, BackingChain = open.BackingChain, Streamable = open.Streamable }
                : disk)) };
    }

    /// <summary>Opens the disk of a domain that is shut off, or shares it with who did.</summary>
    private async Task<DiskExport> ExportOfflineAsync(DomainCache cache, Guid domain, DomainDisk disk, bool evenOff, CancellationToken cancellationToken)
    {
        if (!evenOff)
            return await _offline.TryShareAsync(domain, disk.Target, cancellationToken) ?? throw new DomainNotRunningException(cache.Domain.Name);
        if (FindOfflineObstacle(disk) is { } obstacle)
            throw new DomainNotRunningException(cache.Domain.Name, obstacle);
        return await _offline.OpenAsync(domain, cache.Domain.Name, disk.Target, disk.Source!, disk.Format!, cancellationToken);
    }
}
