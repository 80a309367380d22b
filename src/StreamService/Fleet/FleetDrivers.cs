using StreamService.Hypervisors;

namespace StreamService.Fleet;

/// <inheritdoc/>
public sealed class FleetDrivers(Lazy<Membership> membership, HostTerms terms) : Drivers
{
    public override HostStanding StandingOf(string host, bool isConfigured) =>
        terms.Find(host) is not null ? HostStanding.Here
        : terms.IsDue(host) ? HostStanding.Nobody
        : membership.Value.View.DriverOf(host) is { } driver && driver.Instance != membership.Value.Instance ? HostStanding.Elsewhere
        : isConfigured || membership.Value.View.Replicas.Any(replica => replica.Hosts.ContainsKey(host)) ? HostStanding.Nobody
        : HostStanding.Unknown;

    public override string? NameOf(string host) => terms.Find(host) is not null ? membership.Value.Name : membership.Value.View.DriverOf(host)?.Name;

    public override IReadOnlyList<string> HostsElsewhere(IReadOnlyCollection<string> configured) => [.. membership.Value.View.Hosts.Except(configured)];
}
