using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;
using StreamService.Streaming.Profiles;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>What guests read first is learned, kept, and streamed first.</summary>
[Trait("Category", "Slow")]
public sealed class ProfileTests
{
    private const string Url = "/images/central/base.raw/profile";
    private const int Block = ImageProfile.Block;

    [Fact]
    public async Task Profile_is_learned_from_guests_and_streamed_first()
    {
        await using var site = await DeploymentSite.StartAsync(settings: DeploymentSite.Learning);
        using (var unknown = await site.Http.GetAsync(Url))
            await Problem.AssertAsync(unknown, 404, "profile-not-found");

        // The first deployment's stream is held back, so that only the guest populates.
        var first = await site.DeployAsync(new { stream = new { mode = "full", order = "hotFirst" } });
        await first.GuestAsync($"read {100 * Block} 64k");
        await first.GuestAsync($"read {20 * Block + 4096} 128k");
        var held = await first.WaitForStateAsync("queued");
        Assert.Contains("learned", held.GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.Equal(0, held.GetProperty("bytesStreamed").GetInt64());
        await first.WaitForStateAsync("completed");

        var profile = await site.Http.GetFromJsonAsync<JsonElement>(Url);
        Assert.True(profile.GetProperty("current").GetBoolean());
        Assert.Equal(1, profile.GetProperty("deployments").GetInt32());
        var learned = profile.GetProperty("extents").EnumerateArray()
            .Select(extent => (Offset: extent.GetProperty("offset").GetInt64(), Length: extent.GetProperty("length").GetInt64())).ToList();
        // The firmware looks for a boot sector, and at nothing else.
        Assert.Equal(0, learned[0].Offset);
        Assert.Equal([(20L * Block, 3L * Block), (100L * Block, Block)], learned.Skip(1));

        // The second is not held back, and has what the guest wants before all else, 196 blocks later.
        var second = await site.DeployAsync(new { stream = new { mode = "full", order = "hotFirst", bandwidth = 1 << 20, policy = "fixed" } });
        var ready = await second.WaitForAsync("all of the profile", status => status.GetProperty("bootReadyAt").ValueKind == JsonValueKind.String);
        Assert.Equal("hotFirst", ready.GetProperty("order").GetString());
        Assert.True(ready.GetProperty("bytesRemaining").GetInt64() > DeploymentSite.Size / 4, ready.ToString());
        var map = await site.Http.GetFromJsonAsync<JsonElement>($"{second.DiskUrl}/map?buckets={DeploymentSite.Size / Block}");
        foreach (var hot in new[] { 0, 20, 21, 22, 100 })
            Assert.Equal(1, map.GetProperty("buckets")[hot].GetDouble());
        using (await site.Http.PatchAsJsonAsync($"{second.DiskUrl}/stream", new { bandwidth = 0 }))
            Assert.Equal(ready.GetProperty("bootReadyAt").GetString(), (await second.WaitForStateAsync("completed")).GetProperty("bootReadyAt").GetString());
        await second.StopAsync();
        await second.AssertEqualsAsync(site.Base);
    }

    [Fact]
    public async Task Deployment_without_a_stream_teaches_too()
    {
        await using var site = await DeploymentSite.StartAsync(settings: DeploymentSite.Learning);
        var domain = await site.DeployAsync();
        await domain.GuestAsync($"read {50 * Block} 64k");
        await Shell.WaitForAsync("the profile", async () =>
        {
            using var answer = await site.Http.GetAsync(Url);
            return answer.StatusCode == HttpStatusCode.OK
                && (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("extents").EnumerateArray().Any(extent => extent.GetProperty("offset").GetInt64() == 50 * Block);
        });
    }

    [Fact]
    public async Task Learning_can_be_switched_off()
    {
        await using var site = await DeploymentSite.StartAsync();
        var domain = await site.DeployAsync(new { stream = new { mode = "full", order = "hotFirst" } });
        var completed = await domain.WaitForStateAsync("completed");
        Assert.Equal(JsonValueKind.Null, completed.GetProperty("bootReadyAt").ValueKind);
        using var unknown = await site.Http.GetAsync(Url);
        await Problem.AssertAsync(unknown, 404, "profile-not-found");
    }

    [Fact]
    public async Task Profile_can_be_set_and_forgotten()
    {
        await using var site = await DeploymentSite.StartAsync();
        using (var set = await site.Http.PutAsJsonAsync(Url, new { deployments = 9, extents = new[] { new { offset = 5 * Block, length = Block }, new { offset = 0, length = 512 } } }))
        {
            Assert.True(set.IsSuccessStatusCode, await set.Content.ReadAsStringAsync());
            var profile = await set.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal(Block + 512, profile.GetProperty("bytes").GetInt64());
            Assert.Equal([0L, 5L * Block], profile.GetProperty("extents").EnumerateArray().Select(extent => extent.GetProperty("offset").GetInt64()));
            Assert.All(profile.GetProperty("extents").EnumerateArray(), extent => Assert.Equal(9, extent.GetProperty("deployments").GetInt32()));
        }
        // A sequential stream says as well when all of it is there.
        var domain = await site.DeployAsync(new { stream = new { mode = "full" } });
        Assert.Equal(JsonValueKind.String, (await domain.WaitForStateAsync("completed")).GetProperty("bootReadyAt").ValueKind);

        using (var deleted = await site.Http.DeleteAsync(Url))
            Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        using (var again = await site.Http.DeleteAsync(Url))
            await Problem.AssertAsync(again, 404, "profile-not-found");
        using (var elsewhere = await site.Http.GetAsync("/images/central/other.raw/profile"))
            await Problem.AssertAsync(elsewhere, 404, "image-not-found");
    }

    [Fact]
    public async Task Every_fault_of_a_profile_is_named()
    {
        await using var site = await DeploymentSite.StartAsync();
        object[] extents =
        [
            new { offset = -1, length = 1 },
            new { offset = 0, length = DeploymentSite.Size + 1L },
            new { offset = 0, length = 100 },
            new { offset = 99, length = 100 },
            new { offset = 4096, length = 1, deployments = 3 },
            new { offset = 8192, length = 1, firstReadMs = -1 },
        ];
        using (var faulty = await site.Http.PutAsJsonAsync(Url, new { deployments = 2, extents }))
            await Problem.AssertInvalidAsync(faulty, "extents.0.offset", "extents.1.length", "extents.3.offset", "extents.4.deployments", "extents.5.firstReadMs");
        using (var empty = await site.Http.PutAsJsonAsync(Url, new { }))
            await Problem.AssertInvalidAsync(empty, "extents");
    }

    [Fact]
    public async Task Profile_of_an_image_that_somebody_changed_is_not_current_and_is_begun_anew()
    {
        await using var site = await DeploymentSite.StartAsync(settings: DeploymentSite.Learning);
        using (var set = await site.Http.PutAsJsonAsync(Url, new { deployments = 9, extents = new[] { new { offset = 5 * Block, length = Block } } }))
            Assert.True(set.IsSuccessStatusCode, await set.Content.ReadAsStringAsync());
        await NumberedSectors.WriteAsync(site.Base, DeploymentSite.Size, salt: 2, (0, DeploymentSite.Size));
        Assert.False((await site.Http.GetFromJsonAsync<JsonElement>(Url)).GetProperty("current").GetBoolean());

        var domain = await site.DeployAsync(new { stream = new { mode = "full" } });
        await domain.WaitForStateAsync("completed");

        var profile = await site.Http.GetFromJsonAsync<JsonElement>(Url);
        Assert.True(profile.GetProperty("current").GetBoolean());
        Assert.Equal(1, profile.GetProperty("deployments").GetInt32());
        Assert.DoesNotContain(profile.GetProperty("extents").EnumerateArray(), extent => extent.GetProperty("offset").GetInt64() == 5 * Block);
    }
}
