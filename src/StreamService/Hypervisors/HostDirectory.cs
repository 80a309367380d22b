namespace StreamService.Hypervisors;

/// <summary>The configured hosts, and where a domain is found among them. Of hosts that other replicas drive, those are asked.</summary>
public sealed class HostDirectory(IEnumerable<IHypervisor> hypervisors, Drivers? drivers = null)
{
    private readonly IReadOnlyList<IHypervisor> _hypervisors = [.. hypervisors];
    private readonly Drivers _drivers = drivers ?? new Drivers();

    /// <summary>All hosts, in the order of the configuration.</summary>
    public IReadOnlyList<IHypervisor> All => _hypervisors;

    /// <summary>The host of that name; null where there is none.</summary>
    public IHypervisor? Find(string host) => _hypervisors.FirstOrDefault(hypervisor => hypervisor.Info.Name == host);

    /// <summary>Who drives a host.</summary>
    public HostStanding StandingOf(string host) => _drivers.StandingOf(host, Find(host) is not null);

    /// <summary>The same hosts without those that somebody does not see.</summary>
    public HostDirectory Where(Func<string, bool> sees) => new(_hypervisors.Where(hypervisor => sees(hypervisor.Info.Name)), _drivers);

    /// <summary>The domains of all hosts that can be reached from here.</summary>
    public async Task<IReadOnlyList<DomainInfo>> ListReachableDomainsAsync(CancellationToken cancellationToken)
    {
        var lists = await Task.WhenAll(_hypervisors.Select(async hypervisor =>
        {
            try
            {
                return await hypervisor.ListDomainsAsync(cancellationToken);
            }
            catch (HostUnreachableException)
            {
                // GET /hosts says so; the other hosts' domains are worth more than a failed call.
                return [];
            }
        }));
        return [.. lists.SelectMany(list => list)];
    }

    /// <summary>Finds a domain by its UUID, or by its name where one host only has it. Of one that is on several hosts, the one that runs.</summary>
    /// <exception cref="DomainNotFoundException">No host has it.</exception>
    /// <exception cref="AmbiguousDomainException">Several hosts have a domain of that name.</exception>
    /// <exception cref="HostUnreachableException">No host that answers has it, and one does not answer.</exception>
    public Task<(IHypervisor Hypervisor, DomainInfo Domain)> FindDomainAsync(string idOrName, CancellationToken cancellationToken) =>
        FindDomainAsync(idOrName, _ => true, cancellationToken);

    /// <param name="sees">The domains that exist for whoever asks.</param>
    /// <inheritdoc cref="FindDomainAsync(string, CancellationToken)"/>
    public async Task<(IHypervisor Hypervisor, DomainInfo Domain)> FindDomainAsync(string idOrName, Func<DomainInfo, bool> sees, CancellationToken cancellationToken)
    {
        HostUnreachableException? unreachable = null;
        var found = new List<(IHypervisor, DomainInfo Domain)>();
        foreach (var hypervisor in _hypervisors)
        {
            try
            {
                switch (StandingOf(hypervisor.Info.Name))
                {
                    case HostStanding.Elsewhere:
                        continue;
                    case HostStanding.Nobody:
                        throw new HostUnreachableException(hypervisor.Info.Name, HostTerms.NoDriver);
                }
                if (await hypervisor.FindDomainAsync(idOrName, cancellationToken) is { } domain && sees(domain))
                    found.Add((hypervisor, domain));
            }
            catch (HostUnreachableException exception)
            {
                unreachable ??= exception;
            }
        }
        // A domain that migrates or did is on two hosts under one UUID: the one where it runs is meant.
        if (found.Count > 1 && found.All(match => match.Domain.Id == found[0].Domain.Id)
            && found.MinBy(match => Rank(match.Domain)) is var meant
            && (meant.Domain.IsMigrating || found.Count(match => Rank(match.Domain) == Rank(meant.Domain)) == 1))
            return meant;
        return found switch
        {
            [var only] => only,
            [] => throw (Exception?)unreachable ?? new DomainNotFoundException(idOrName),
            _ => throw new AmbiguousDomainException(idOrName, [.. found.Select(match => match.Domain.Host)]),
        };
    }

    /// <summary>The lower, the likelier it is the one that is meant. Of two that are stopped by a migration the first.</summary>
    private static int Rank(DomainInfo domain) => domain.State is DomainState.Running or DomainState.Blocked ? 0 : domain.IsActive && !domain.IsMigrating ? 1 : 2;

    /// <summary>Finds a disk by its domain and its target or source path.</summary>
    /// <exception cref="DiskNotFoundException">The domain has no such disk.</exception>
    public async Task<(IHypervisor Hypervisor, DomainInfo Domain, DiskInfo Disk)> FindDiskAsync(string idOrName, string path, Func<DomainInfo, bool> sees, CancellationToken cancellationToken)
    {
        var (hypervisor, domain) = await FindDomainAsync(idOrName, sees, cancellationToken);
        return (hypervisor, domain, domain.FindDisk(path) ?? throw new DiskNotFoundException(domain.Name, path));
    }
}
