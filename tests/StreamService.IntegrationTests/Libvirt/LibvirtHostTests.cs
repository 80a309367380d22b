using System.Xml.Linq;
using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Libvirt;

namespace StreamService.IntegrationTests.Libvirt;

[Trait("Category", "Slow")]
public sealed class LibvirtHostTests : IAsyncLifetime
{
    private LibvirtConnection _connection = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        _connection = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri, cancellationToken: Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (_connection is not null)
            await _connection.DisposeAsync();
    }

    [Fact]
    public async Task A_machine_the_host_knows_has_capabilities_and_another_none()
    {
        var xml = XElement.Parse(await _connection.GetDomainCapabilitiesAsync(null, "x86_64", "q35", "qemu", Token));
        Assert.Equal("domainCapabilities", xml.Name.LocalName);
        Assert.StartsWith("pc-q35-", (string?)xml.Element("machine"), StringComparison.Ordinal);
        Assert.NotEmpty(await _connection.GetDomainCapabilitiesAsync(null, null, null, null, Token));

        var error = await Assert.ThrowsAsync<LibvirtException>(
            () => _connection.GetDomainCapabilitiesAsync(null, "x86_64", "pc-q35-99.0", "qemu", Token));
        Assert.Contains("pc-q35-99.0", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_CPU_is_compared_with_what_the_hypervisor_can_give()
    {
        Assert.Equal(CpuComparison.Superset, await CompareAsync("<cpu match='minimum'><model>qemu64</model></cpu>"));
        Assert.Equal(
            CpuComparison.Incompatible,
            await CompareAsync("<cpu match='exact'><model>qemu64</model><feature policy='require' name='avx512f'/></cpu>"));
        var error = await Assert.ThrowsAsync<LibvirtException>(() => CompareAsync("<cpu match='exact'><model>no-such</model></cpu>"));
        Assert.Contains("no-such", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_domain_without_a_definition_starts_paused_and_ends_with_its_connection()
    {
        var name = "lv-" + Guid.NewGuid().ToString("N");
        Guid uuid;
        await using (var owner = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri, cancellationToken: Token))
        {
            using var domain = await owner.CreateXmlAsync(
                $"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>",
                DomainCreateOptions.Paused | DomainCreateOptions.AutoDestroy,
                Token);
            uuid = domain.Uuid;
            Assert.Equal((DomainState.Paused, (int)PausedReason.User), await domain.GetStateAsync(Token));
            Assert.False(await domain.IsPersistentAsync(Token));
            Assert.True(await domain.GetIdAsync(Token) > 0);
            await domain.ResumeAsync(Token);
            Assert.Equal(DomainState.Running, (await domain.GetStateAsync(Token)).State);

            var second = await Assert.ThrowsAsync<LibvirtException>(() => owner.CreateXmlAsync(
                $"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>",
                DomainCreateOptions.None,
                Token));
            Assert.Contains(name, second.Message, StringComparison.Ordinal);
        }

        await Shell.WaitForAsync(
            "the domain's end", async () => (await _connection.ListDomainsAsync(Token)).All(listed => listed.Uuid != uuid));
    }

    private Task<CpuComparison> CompareAsync(string cpu) =>
        _connection.CompareHypervisorCpuAsync(null, "x86_64", "q35", "qemu", cpu, Token);
}
