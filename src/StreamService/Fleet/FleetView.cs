using StreamService.Streaming.Budgets;

namespace StreamService.Fleet;

/// <summary>The fleet as the database has it, seen by one replica a second ago at the most; who drives which host is told at once.</summary>
/// <param name="Replicas">Those that live.</param>
/// <param name="Leases">By host; one for each that was ever driven.</param>
/// <param name="Migrations">Those that are not over, as source and destination.</param>
public sealed record FleetView(IReadOnlyList<Replica> Replicas, IReadOnlyDictionary<string, HostLease> Leases, IReadOnlyList<(string Source, string Destination)> Migrations)
{
    public static FleetView Empty { get; } = new([], new Dictionary<string, HostLease>(), []);

    /// <summary>The replica of that name; null where none lives.</summary>
    public Replica? Find(string? name) => Replicas.FirstOrDefault(replica => replica.Name == name);

    /// <summary>The replica that drives a host; null where none that lives does.</summary>
    public Replica? DriverOf(string host) => Find(Leases.GetValueOrDefault(host)?.Driver);

    /// <summary>Every host that a replica can drive.</summary>
    public IEnumerable<string> Hosts => Replicas.SelectMany(replica => replica.Hosts.Keys).Distinct().Order(StringComparer.Ordinal);
}

/// <summary>One replica of the service.</summary>
/// <param name="Instance">Of its process.</param>
/// <param name="Url">Where it is reached.</param>
/// <param name="Hosts">The hosts that it can drive, and whether each is on its own machine.</param>
/// <param name="Budgets">What its streams weigh in each budget.</param>
public sealed record Replica(string Name, Guid Instance, Uri Url, IReadOnlyDictionary<string, bool> Hosts, IReadOnlyDictionary<string, BudgetLoad> Budgets)
{
    /// <summary>Cancelled when it is taken for dead.</summary>
    public CancellationToken Gone { get; init; }
}

/// <summary>Who drives a host.</summary>
/// <param name="Driver">Whoever took it last, dead or alive; null where it was given back.</param>
/// <param name="WantedBy">A replica that needs it, for a migration.</param>
public sealed record HostLease(string Host, long Epoch, string? Driver, string? WantedBy);
