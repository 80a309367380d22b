using StreamService.Hypervisors;

namespace StreamService.Tests.Hypervisors;

public sealed class HostDirectoryTests
{
    private static readonly Guid Id = Guid.NewGuid();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    // While it migrates: QEMU waits for it on the destination.
    [InlineData(0, DomainState.Running, DomainState.Paused, false, true)]
    [InlineData(1, DomainState.Paused, DomainState.Running, true, false)]
    // Paused by its owner, and migrating.
    [InlineData(0, DomainState.Paused, DomainState.Paused, false, true)]
    [InlineData(1, DomainState.Paused, DomainState.Paused, true, false)]
    // Afterwards, with the definition left on the source.
    [InlineData(1, DomainState.ShutOff, DomainState.Running)]
    [InlineData(1, DomainState.ShutOff, DomainState.Paused)]
    [InlineData(1, DomainState.Paused, DomainState.Blocked)]
    // At the switch it is stopped on both.
    [InlineData(0, DomainState.Paused, DomainState.Paused, true, true)]
    public async Task Of_a_domain_on_two_hosts_the_one_that_runs_is_meant(int expected, DomainState first, DomainState second, bool firstMigrates = false, bool secondMigrates = false)
    {
        var hosts = new HostDirectory([Host("h1", first, firstMigrates), Host("h2", second, secondMigrates)]);
        foreach (var key in new[] { Id.ToString(), "vm" })
        {
            var (hypervisor, domain) = await hosts.FindDomainAsync(key, Token);
            Assert.Same(hosts.All[expected], hypervisor);
            Assert.Equal(hypervisor.Info.Name, domain.Host);
        }
    }

    [Theory]
    [InlineData(DomainState.Running)]
    [InlineData(DomainState.Paused)]
    [InlineData(DomainState.ShutOff)]
    public async Task Of_a_domain_that_stands_alike_on_two_hosts_neither_is_meant(DomainState state) =>
        await Assert.ThrowsAsync<AmbiguousDomainException>(() => new HostDirectory([Host("h1", state), Host("h2", state)]).FindDomainAsync("vm", Token));

    [Fact]
    public async Task Two_domains_of_one_name_are_ambiguous_and_an_unreachable_host_may_have_what_no_other_has()
    {
        var one = Host("h1", DomainState.Running);
        var other = new KnownDomains("h2", new DomainInfo(Guid.NewGuid(), "vm", "h2", DomainState.ShutOff, []));
        await Assert.ThrowsAsync<AmbiguousDomainException>(() => new HostDirectory([one, other]).FindDomainAsync("vm", Token));
        var away = new KnownDomains("h3", null);
        await Assert.ThrowsAsync<HostUnreachableException>(() => new HostDirectory([one, away]).FindDomainAsync("else", Token));
        Assert.Same(one, (await new HostDirectory([away, one]).FindDomainAsync("vm", Token)).Hypervisor);
        await Assert.ThrowsAsync<DomainNotFoundException>(() => new HostDirectory([one]).FindDomainAsync("else", Token));
    }

    private static KnownDomains Host(string name, DomainState state, bool migrates = false) =>
        new(name, new DomainInfo(Id, "vm", name, state, []) { IsMigrating = migrates });

    /// <summary>A host with one domain, or one that cannot be reached. Nothing else is asked of it.</summary>
    private sealed class KnownDomains(string name, DomainInfo? only) : IHypervisor
    {
        public event Action<Guid?>? Changed
        {
            add { }
            remove { }
        }

        public HostInfo Info => new(name, "qemu:///system", only is null ? HostState.Unreachable : HostState.Connected, null, null, null, null);

        public Task<DomainInfo?> FindDomainAsync(string idOrName, CancellationToken cancellationToken) => only is null
            ? Task.FromException<DomainInfo?>(new HostUnreachableException(name, "away"))
            : Task.FromResult(idOrName == only.Name || idOrName == only.Id.ToString() ? only : null);

        public Task RunAsync(HostTerm term, CancellationToken stopping) => throw new NotSupportedException();

        public Task<IReadOnlyList<DomainInfo>> ListDomainsAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<DiskExport> ExportDiskAsync(Guid domain, string target, bool evenOff, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<BlockJobInfo?> FindBlockJobAsync(Guid domain, string target, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<INativeJob> BeginNativeJobAsync(Guid domain, string target, string? baseImage, long bandwidth, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task FlushWithoutExportAsync(Guid domain, string target, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<LayerSpace?> FindSpaceAsync(Guid domain, string target, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<GuestIo> GetGuestIoAsync(Guid domain, string target, CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
