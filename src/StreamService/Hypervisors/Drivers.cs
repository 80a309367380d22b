namespace StreamService.Hypervisors;

/// <summary>Who drives a host, as far as this service is concerned.</summary>
public enum HostStanding
{
    /// <summary>This service does.</summary>
    Here,

    /// <summary>Another replica does, and is asked about it.</summary>
    Elsewhere,

    /// <summary>No replica does at the moment.</summary>
    Nobody,

    /// <summary>There is no such host.</summary>
    Unknown,
}

/// <summary>Who drives which host. Where there are no replicas, this service drives all that are configured.</summary>
public class Drivers
{
    /// <param name="isConfigured">Whether this service could drive it.</param>
    public virtual HostStanding StandingOf(string host, bool isConfigured) => isConfigured ? HostStanding.Here : HostStanding.Unknown;

    /// <summary>The name of the replica that drives a host; null where none does, or where there are no replicas.</summary>
    public virtual string? NameOf(string host) => null;

    /// <summary>Hosts that only other replicas have in their configurations.</summary>
    public virtual IReadOnlyList<string> HostsElsewhere(IReadOnlyCollection<string> configured) => [];
}
