namespace StreamService.Fleet;

/// <summary>
/// Which replica should drive which host. Pure: all replicas come to the same from the same view, so that nobody has to be asked.
/// </summary>
/// <remarks>
/// A replica on the host's own machine goes before all others; among equals hosts are spread evenly. Whoever drives a host keeps it unless
/// that is uneven by two or more, or a better one has come.
/// </remarks>
public static class LeaseSpread
{
    /// <summary>The replica for each host that any can drive.</summary>
    public static IReadOnlyDictionary<string, string> Assign(FleetView view)
    {
        var replicas = view.Replicas.OrderBy(replica => replica.Name, StringComparer.Ordinal).ToList();
        // In the same order everywhere.
        var candidates = new SortedDictionary<string, List<string>>(view.Hosts.ToDictionary(host => host, host => Candidates(replicas, host)), StringComparer.Ordinal);
        var assigned = new Dictionary<string, string>();
        var loads = replicas.ToDictionary(replica => replica.Name, _ => 0);
        var pinned = new HashSet<string>();

        // What a migration needs goes before all evenness.
        foreach (var host in candidates.Keys)
            if (view.Leases.GetValueOrDefault(host)?.WantedBy is { } wanting && view.Find(wanting)?.Hosts.ContainsKey(host) == true && pinned.Add(host))
                Give(host, wanting);
        foreach (var (source, destination) in view.Migrations)
            if (view.DriverOf(source) is { } driver && driver.Hosts.GetValueOrDefault(source) && driver.Hosts.ContainsKey(destination)
                && candidates.ContainsKey(destination) && pinned.Add(destination))
                Give(destination, driver.Name);

        foreach (var (host, able) in candidates)
            if (!assigned.ContainsKey(host) && view.Leases.GetValueOrDefault(host)?.Driver is { } driver && able.Contains(driver))
                Give(host, driver);
        foreach (var (host, able) in candidates)
            if (!assigned.ContainsKey(host))
                Give(host, Least(able));

        // Until no replica has two more than another that could take one of them.
        bool moved;
        do
        {
            moved = false;
            foreach (var (host, able) in candidates)
            {
                if (pinned.Contains(host) || Least(able) is not { } least || loads[assigned[host]] - loads[least] < 2)
                    continue;
                loads[assigned[host]]--;
                Give(host, least);
                moved = true;
            }
        }
        while (moved);
        return assigned;

        void Give(string host, string replica)
        {
            assigned[host] = replica;
            loads[replica]++;
        }

        string Least(IReadOnlyList<string> able) => able.MinBy(replica => loads[replica])!;
    }

    /// <summary>Those on the host's machine; where there are none, all that can drive it.</summary>
    private static List<string> Candidates(IReadOnlyList<Replica> replicas, string host)
    {
        var able = replicas.Where(replica => replica.Hosts.ContainsKey(host)).ToList();
        var near = able.Where(replica => replica.Hosts[host]).ToList();
        return [.. (near.Count > 0 ? near : able).Select(replica => replica.Name)];
    }
}
