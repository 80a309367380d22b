namespace StreamService.Hypervisors;

/// <summary>A host on which domains can be made: one with libvirt. Errors are those of <see cref="IHypervisor"/>.</summary>
public interface IDomainDefiner : IHypervisor
{
    /// <summary>Whether the host's image files are files of this machine.</summary>
    bool IsLocal { get; }

    /// <summary>Where overlays go if nobody says otherwise: where the host's libvirt keeps its images.</summary>
    string ImageFolder { get; }

    /// <summary>Defines a domain; it is not started.</summary>
    /// <param name="xml">libvirt's description, with that UUID in it.</param>
    Task DefineAsync(Guid domain, string xml, CancellationToken cancellationToken);

    /// <summary>Starts a domain; returns when its processors run.</summary>
    Task StartAsync(Guid domain, CancellationToken cancellationToken);

    /// <summary>Opens an image that no domain has in a qemu-storage-daemon of the service's own; disposing of the lease closes it in order.</summary>
    Task<DiskExport> OpenImageAsync(string path, string format, CancellationToken cancellationToken);

    /// <summary>Stops a domain as if its power was cut, and removes its definition and what belongs to that. Where there is none, returns.</summary>
    Task RemoveAsync(Guid domain, CancellationToken cancellationToken);
}
