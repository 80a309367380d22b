using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>Many deployments at once, and a service that is killed in the middle of them.</summary>
[Trait("Category", "Slow")]
public sealed class ManyDeploymentsTests
{
    private const int Count = 20;

    [Fact]
    public async Task Twenty_at_once_all_run_and_become_independent_of_one_untouched_image()
    {
        await using var site = await DeploymentSite.StartAsync(settings: DeploymentSite.Learning);
        using (var budget = await site.Http.PutAsJsonAsync("/budgets/image", new { scope = "source", match = site.Images, bytesPerSecond = 64 << 20 }))
            Assert.Equal(HttpStatusCode.Created, budget.StatusCode);
        var hash = await Shell.RunAsync("sha256sum", site.Base);

        var domains = await Task.WhenAll(Enumerable.Range(0, Count).Select(_ => site.DeployAsync(new { stream = new { mode = "full", order = "hotFirst" } })));
        Assert.All(domains, domain => Assert.Equal("running", domain.Domain.GetProperty("state").GetString()));
        // Each guest writes a block of its own.
        foreach (var (domain, number) in domains.Select((domain, number) => (domain, number)))
            await domain.GuestAsync($"write -P {number + 1} {number * 128}k 64k");
        await Task.WhenAll(domains.Select(domain => domain.WaitForStateAsync("completed")));

        Assert.Equal(hash, await Shell.RunAsync("sha256sum", site.Base));
        var expected = Path.Combine(site.Folder, "expected.raw");
        foreach (var (domain, number) in domains.Select((domain, number) => (domain, number)))
        {
            await domain.StopAsync();
            Assert.Null(await domain.BackingFileAsync());
            File.Copy(site.Base, expected, overwrite: true);
            await Shell.RunAsync("qemu-io", "-f", "raw", "-c", $"write -P {number + 1} {number * 128}k 64k", expected);
            await domain.AssertEqualsAsync(expected);
        }
    }

    [Fact]
    public async Task Killed_service_leaves_a_whole_deployment_or_nothing()
    {
        await using var site = await DeploymentSite.StartAsync();
        // Once, so that the moments below fall into work and not into the runtime's start.
        await site.DeployAsync();
        foreach (var milliseconds in new[] { 5, 20, 50, 80, 120, 160, 220, 300, 400, 600 })
        {
            var name = site.NewName();
            var request = DeploymentSite.Request(name, new { stream = new { mode = "full", bandwidth = 4 << 20 } });
            var posted = Problem.PostWithKeyAsync(site.Http, "/domains", name, request);
            await Task.WhenAny(posted, Task.Delay(milliseconds));
            await site.Service.KillAsync();
            try
            {
                (await posted).Dispose();
            }
            catch (HttpRequestException)
            {
                // The answer was lost with the service.
            }
            await site.Service.StartAgainAsync();

            // The caller asks again, with the same key: one domain is there in the end, whatever the first had come to.
            HttpResponseMessage? answer = null;
            await Shell.WaitForAsync($"{name} to be deployed after a kill at {milliseconds} ms. {site.Service.LogText}", async () =>
            {
                answer?.Dispose();
                answer = await Problem.PostWithKeyAsync(site.Http, "/domains", name, request);
                return answer.StatusCode == HttpStatusCode.Created;
            });
            var id = (await answer!.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetGuid();
            answer.Dispose();
            Assert.Equal(id.ToString(), (await TestDomain.VirshAsync("domuuid", name)).Trim());
            await Shell.WaitForAsync($"one overlay of {name}", () =>
                Task.FromResult(Directory.GetFiles(site.Overlays).Count(file => Path.GetFileName(file).StartsWith(name + "-", StringComparison.Ordinal)) == 1));

            using var deleted = await site.Http.DeleteAsync($"/domains/{id}?storage=true");
            Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
            await site.AssertNothingLeftAsync(name);
        }
    }
}
