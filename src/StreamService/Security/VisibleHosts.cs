using StreamService.Hypervisors;

namespace StreamService.Security;

/// <summary>The hosts and domains that exist for the caller of a request: <see cref="HostDirectory"/> within the caller's limits.</summary>
/// <remarks>What is outside of them is not found, rather than forbidden: that it is there is nobody's business.</remarks>
public sealed class VisibleHosts(HostDirectory hosts, Caller caller)
{
    private readonly HostDirectory _hosts = caller.Hosts.Count == 0 ? hosts : hosts.Where(caller.Sees);

    /// <summary>In the order of the configuration.</summary>
    public IReadOnlyList<IHypervisor> All => _hosts.All;

    /// <summary>Looks whether there is a host of that name, here or with another replica.</summary>
    /// <exception cref="HostNotFoundException">There is none.</exception>
    public void Expect(string host)
    {
        if (!caller.Sees(host) || _hosts.StandingOf(host) == HostStanding.Unknown)
            throw new HostNotFoundException(host);
    }

    /// <summary>Who drives a host.</summary>
    public HostStanding StandingOf(string host) => _hosts.StandingOf(host);

    /// <exception cref="HostNotFoundException">There is none of that name.</exception>
    public IHypervisor Get(string host) => _hosts.Find(host) ?? throw new HostNotFoundException(host);

    /// <summary>The domains of one host, or of all that can be reached.</summary>
    /// <exception cref="HostNotFoundException">There is no such host.</exception>
    /// <exception cref="HostUnreachableException">That one host cannot be reached.</exception>
    public async Task<IEnumerable<DomainInfo>> ListDomainsAsync(string? host, CancellationToken cancellationToken) =>
        (host is null ? await _hosts.ListReachableDomainsAsync(cancellationToken) : await Get(host).ListDomainsAsync(cancellationToken)).Where(caller.Sees);

    /// <inheritdoc cref="HostDirectory.FindDomainAsync(string, CancellationToken)"/>
    public Task<(IHypervisor Hypervisor, DomainInfo Domain)> FindDomainAsync(string idOrName, CancellationToken cancellationToken) =>
        _hosts.FindDomainAsync(idOrName, caller.Sees, cancellationToken);

    /// <inheritdoc cref="HostDirectory.FindDiskAsync"/>
    public Task<(IHypervisor Hypervisor, DomainInfo Domain, DiskInfo Disk)> FindDiskAsync(string idOrName, string path, CancellationToken cancellationToken) =>
        _hosts.FindDiskAsync(idOrName, path, caller.Sees, cancellationToken);
}
