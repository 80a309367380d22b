using StreamService.Client;
using StreamService.IntegrationTests.Deployment;
using StreamService.IntegrationTests.Harness;
using StreamService.IntegrationTests.Migrations;

namespace StreamService.IntegrationTests.Ctl;

/// <summary>Domains deployed with streamctl.</summary>
[Trait("Category", "Slow")]
public sealed class StreamctlDeploymentTests
{
    [Fact]
    public async Task An_image_becomes_a_domain_that_is_watched_until_it_is_independent_and_removed()
    {
        await using var site = await DeploymentSite.StartAsync();
        var name = site.NewName();
        Assert.Matches(@"central/base\.raw +raw +16 MiB", (await Streamctl.SucceedAsync(site.Service, "images")).Output);
        var deployed = await Streamctl.SucceedAsync(site.Service, "deploy", name, "--host", "local", "--image", "central/base.raw", "--memory", "32MiB", "--bandwidth", "16MiB", "--watch");
        Assert.StartsWith("completed  100 %", deployed.Lines[^1], StringComparison.Ordinal);
        var domain = await site.Service.Client.GetDomainAsync(name);
        Assert.Equal((DomainState.Running, 0), (domain.State, Assert.Single(domain.Disks).BackingChain.Count));

        var again = await Streamctl.RunAsync(site.Service, "deploy", name, "--host", "local", "--image", "central/base.raw", "--memory", "32MiB");
        Assert.Equal(4, again.Code);
        Assert.Contains("domain-exists: ", again.Errors, StringComparison.Ordinal);
        Assert.Equal(3, (await Streamctl.RunAsync(site.Service, "deploy", site.NewName(), "--host", "local", "--image", "central/none", "--memory", "32MiB")).Code);
        await Streamctl.SucceedAsync(site.Service, "remove", name, "--storage");
        Assert.False(await DeploymentSite.ExistsAsync(name));
    }
}

/// <summary>Domains migrated with streamctl, over the service's Unix socket.</summary>
[Collection(MigratingHosts.Name)]
[Trait("Category", "Slow")]
public sealed class StreamctlMigrationTests(SharedTwoHosts shared)
{
    [Fact]
    public async Task A_domain_moves_step_by_step()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts);
        Assert.StartsWith("unix:/", site.Service.Server, StringComparison.Ordinal);
        var refused = await Streamctl.RunAsync(site.Service, "migrate", guest.Name, "h1");
        Assert.Equal(4, refused.Code);
        Assert.Contains("migration-refused: ", refused.Errors, StringComparison.Ordinal);

        var moved = await Streamctl.SucceedAsync(site.Service, "migrate", guest.Name, "h2", "--verify");
        Assert.Equal(
            ["preflight", "snapshot", "export", "prepareDestination", "migrate", "stream", "verify", "release", "completed"],
            moved.Lines.Where(line => line.Contains(" done ", StringComparison.Ordinal) || line == "completed").Select(line => line.Split(' ')[0]));
        var id = Assert.Single((await Streamctl.SucceedAsync(site.Service, "migrations", "--domain", guest.Name, "-o", "json")).Json.EnumerateArray()).GetProperty("migrationId").GetString()!;
        Assert.Equal(0, (await Streamctl.RunAsync(site.Service, "migrations", "show", id, "--watch")).Code);
        Assert.Empty((await Streamctl.SucceedAsync(site.Service, "migrations", "clean", id, "-o", "json")).Json.GetProperty("leftOnSource").EnumerateArray());
        Assert.Equal(4, (await Streamctl.RunAsync(site.Service, "migrations", "cancel", id)).Code);
    }
}
