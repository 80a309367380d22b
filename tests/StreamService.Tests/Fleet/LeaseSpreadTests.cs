using StreamService.Fleet;
using StreamService.Streaming.Budgets;

namespace StreamService.Tests.Fleet;

public class LeaseSpreadTests
{
    [Fact]
    public void Hosts_without_a_driver_are_spread_evenly()
    {
        var hosts = Hosts(100);
        var assigned = LeaseSpread.Assign(View([Far("a", hosts), Far("b", hosts), Far("c", hosts)]));
        Assert.Equal(100, assigned.Count);
        Assert.All(assigned.Values.CountBy(replica => replica), load => Assert.InRange(load.Value, 33, 34));
    }

    [Fact]
    public void Replica_on_the_hosts_own_machine_goes_before_all_others_and_gets_it_from_them()
    {
        var view = View([new Replica("a", Guid.NewGuid(), Url, new Dictionary<string, bool> { ["h1"] = true, ["h2"] = false }, None), Far("b", ["h1", "h2"])], ("h1", "b"), ("h2", "b"));
        var assigned = LeaseSpread.Assign(view);
        Assert.Equal(("a", "b"), (assigned["h1"], assigned["h2"]));
    }

    [Fact]
    public void Whoever_drives_a_host_keeps_it_while_that_is_even()
    {
        var hosts = Hosts(4);
        var leases = new[] { ("h000", "b"), ("h001", "a"), ("h002", "b"), ("h003", "a") };
        var assigned = LeaseSpread.Assign(View([Far("a", hosts), Far("b", hosts)], leases));
        Assert.All(leases, lease => Assert.Equal(lease.Item2, assigned[lease.Item1]));
    }

    [Fact]
    public void Hosts_of_a_dead_replica_go_to_all_others_and_nobody_else_moves()
    {
        var hosts = Hosts(9);
        var leases = hosts.Select((host, i) => (host, "abc"[i % 3].ToString())).ToArray();
        var assigned = LeaseSpread.Assign(View([Far("a", hosts), Far("b", hosts)], leases));
        Assert.All(leases.Where(lease => lease.Item2 != "c"), lease => Assert.Equal(lease.Item2, assigned[lease.host]));
        Assert.All(assigned.Values.CountBy(replica => replica), load => Assert.InRange(load.Value, 4, 5));
    }

    [Fact]
    public void Newcomer_gets_its_share_and_no_more_moves_than_that_takes()
    {
        var hosts = Hosts(30);
        var leases = hosts.Select((host, i) => (host, "ab"[i % 2].ToString())).ToArray();
        var assigned = LeaseSpread.Assign(View([Far("a", hosts), Far("b", hosts), Far("c", hosts)], leases));
        Assert.InRange(leases.Count(lease => assigned[lease.host] != lease.Item2), 9, 10);
        Assert.All(assigned.Values.CountBy(replica => replica), load => Assert.InRange(load.Value, 9, 11));
        // Once that is done nothing moves any more.
        Assert.Equal(assigned.OrderBy(host => host.Key), LeaseSpread.Assign(View([Far("a", hosts), Far("b", hosts), Far("c", hosts)],
            [.. assigned.Select(host => (host.Key, host.Value))])).OrderBy(host => host.Key));
    }

    [Fact]
    public void Replica_gets_only_hosts_that_it_is_configured_for()
    {
        var assigned = LeaseSpread.Assign(View([Far("a", ["h1", "h2", "h3"]), Far("b", ["h3"])], ("h1", "b")));
        Assert.Equal(("a", "a", "b"), (assigned["h1"], assigned["h2"], assigned["h3"]));
        Assert.Empty(LeaseSpread.Assign(View([], ("h1", "b"))));
    }

    [Fact]
    public void Destination_of_a_migration_is_with_the_source_where_that_is_local_and_a_wanted_host_with_who_wants_it()
    {
        var near1 = new Replica("a", Guid.NewGuid(), Url, new Dictionary<string, bool> { ["h1"] = true, ["h2"] = false, ["h3"] = false }, None);
        var near2 = new Replica("b", Guid.NewGuid(), Url, new Dictionary<string, bool> { ["h1"] = false, ["h2"] = true, ["h3"] = false }, None);
        var view = View([near1, near2], ("h1", "a"), ("h2", "b"), ("h3", "b")) with { Migrations = [("h1", "h2")] };
        Assert.Equal("a", LeaseSpread.Assign(view)["h2"]);
        // From afar the source's exports cannot be tended: no reason to take anything.
        Assert.Equal("b", LeaseSpread.Assign(view with { Migrations = [("h3", "h2")] })["h2"]);
        var wanted = new Dictionary<string, HostLease>(view.Leases) { ["h2"] = new("h2", 1, "b", "a") };
        Assert.Equal("a", LeaseSpread.Assign(view with { Migrations = [], Leases = wanted })["h2"]);
    }

    [Fact]
    public void Ten_thousand_hosts_on_twenty_replicas_are_spread_at_once()
    {
        var hosts = Hosts(10_000);
        var replicas = Enumerable.Range(0, 20).Select(i => Far($"r{i:00}", hosts)).ToArray();
        var begun = TimeProvider.System.GetTimestamp();
        var assigned = LeaseSpread.Assign(View(replicas, [.. hosts.Select(host => (host, "r00"))]));
        Assert.All(assigned.Values.CountBy(replica => replica), load => Assert.InRange(load.Value, 499, 501));
        Assert.True(TimeProvider.System.GetElapsedTime(begun) < TimeSpan.FromSeconds(5));
    }

    private static readonly Uri Url = new("http://127.0.0.1:1");
    private static readonly Dictionary<string, BudgetLoad> None = [];

    private static List<string> Hosts(int count) => [.. Enumerable.Range(0, count).Select(i => $"h{i:000}")];

    private static Replica Far(string name, IEnumerable<string> hosts) => new(name, Guid.NewGuid(), Url, hosts.ToDictionary(host => host, _ => false), None);

    private static FleetView View(IReadOnlyList<Replica> replicas, params (string Host, string Driver)[] leases) =>
        new(replicas, leases.ToDictionary(lease => lease.Host, lease => new HostLease(lease.Host, 1, lease.Driver, WantedBy: null)), []);
}
