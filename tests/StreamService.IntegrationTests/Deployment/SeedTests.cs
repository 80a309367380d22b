using System.Globalization;
using System.Net.Http.Json;
using StreamService.IntegrationTests.Harness;
using StreamService.Streaming.Profiles;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>Disks on a distant image begin as copies of an overlay that holds the profile's data, which is read once for all.</summary>
[Trait("Category", "Slow")]
public sealed class SeedTests
{
    private const int Block = ImageProfile.Block;
    private const string Profile = "/images/central/default/profile";

    private static readonly Dictionary<string, string> Immutable = new() { ["StreamService__ImageRepositories__0__Immutable"] = "true" };

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    public async Task Hot_data_of_a_distant_image_is_read_once_for_all(string format)
    {
        NbdkitServer? server = null;
        var log = "";
        await using var site = await DeploymentSite.StartAsync(async site =>
        {
            log = Path.Combine(site.Folder, "requests.log");
            server = new NbdkitServer(site.Folder, site.Base);
            await server.StartAsync("--filter=log", $"logfile={log}");
            return server.Uri;
        }, Immutable);
        await using (server)
        {
            await SetProfileAsync(site, 40 * Block, 30 * Block);
            // The first has the seed made, and does without.
            await site.DeployAsync(new { image = "central/default", format });
            await Shell.WaitForAsync("the seed", () => Task.FromResult(Seeds(site, format).Length == 1));

            var before = BytesRead(log, 40 * Block, 70 * Block);
            // Beside the seed's own there are samples for the image's fingerprint, far less than a block.
            Assert.InRange(before, 30 * Block, 31 * Block);
            var domains = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => site.DeployAsync(new { image = "central/default", format, size = 24 << 20 })));
            foreach (var domain in domains)
            {
                await domain.GuestAsync($"read {40 * Block} {30 * Block}");
                await domain.GuestAsync($"write -P 5 {50 * Block} 64k");
            }
            Assert.InRange(BytesRead(log, 40 * Block, 70 * Block), before, before + Block);

            // A seed is an overlay like any other: what comes of it is the image, and what the guest wrote.
            var expected = Path.Combine(site.Folder, "expected.raw");
            File.Copy(site.Base, expected);
            await Shell.RunAsync("qemu-img", "resize", "-q", "-f", "raw", expected, "24M");
            await Shell.RunAsync("qemu-io", "-f", "raw", "-c", $"write -P 5 {50 * Block} 64k", expected);
            using (await site.Http.PostAsJsonAsync($"{domains[0].DiskUrl}/stream", new { mode = "full" }))
                await domains[0].WaitForStateAsync("completed");
            foreach (var domain in domains)
            {
                await domain.StopAsync();
                await domain.AssertEqualsAsync(expected);
            }
            Assert.Null(await domains[0].BackingFileAsync());
        }
    }

    [Fact]
    public async Task Another_profile_makes_another_seed_and_the_old_one_goes()
    {
        NbdkitServer? server = null;
        await using var site = await DeploymentSite.StartAsync(async site =>
        {
            server = new NbdkitServer(site.Folder, site.Base);
            await server.StartAsync();
            return server.Uri;
        }, Immutable);
        await using (server)
        {
            await SetProfileAsync(site, 0, Block);
            await site.DeployAsync(new { image = "central/default" });
            await Shell.WaitForAsync("the seed", () => Task.FromResult(Seeds(site, "qcow2").Length == 1));
            var first = Seeds(site, "qcow2")[0];

            await SetProfileAsync(site, 8 * Block, Block);
            await site.DeployAsync(new { image = "central/default" });
            await Shell.WaitForAsync("the other seed", () => Task.FromResult(Seeds(site, "qcow2") is [var other] && other != first));
        }
    }

    [Fact]
    public async Task Image_whose_changes_cannot_be_seen_gets_none()
    {
        NbdkitServer? server = null;
        await using var site = await DeploymentSite.StartAsync(async site =>
        {
            server = new NbdkitServer(site.Folder, site.Base);
            await server.StartAsync();
            return server.Uri;
        });
        await using (server)
        {
            await SetProfileAsync(site, 0, Block);
            await site.DeployAsync(new { image = "central/default" });
            await site.DeployAsync(new { image = "central/default" });
            Assert.False(Directory.Exists(Path.Combine(site.Overlays, ".seeds")));
        }
    }

    [Fact]
    public async Task Image_in_a_folder_needs_none()
    {
        await using var site = await DeploymentSite.StartAsync();
        using (await site.Http.PutAsJsonAsync("/images/central/base.raw/profile", new { extents = new[] { new { offset = 0, length = Block } } }))
            await site.DeployAsync();
        Assert.False(Directory.Exists(Path.Combine(site.Overlays, ".seeds")));
    }

    private static async Task SetProfileAsync(DeploymentSite site, long offset, long length)
    {
        using var set = await site.Http.PutAsJsonAsync(Profile, new { deployments = 9, extents = new[] { new { offset, length } } });
        Assert.True(set.IsSuccessStatusCode, await set.Content.ReadAsStringAsync());
    }

    private static string[] Seeds(DeploymentSite site, string format) =>
        Directory.Exists(Path.Combine(site.Overlays, ".seeds")) ? Directory.GetFiles(Path.Combine(site.Overlays, ".seeds"), $"*.{format}") : [];

    /// <summary>Bytes of a range that were read from the source, by nbdkit's log.</summary>
    private static long BytesRead(string log, long begin, long end)
    {
        long bytes = 0;
        using var reader = new StreamReader(new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        while (reader.ReadLine() is { } line)
        {
            if (!line.Contains(" Read id=", StringComparison.Ordinal))
                continue;
            var (offset, count) = (Value(line, " offset=0x"), Value(line, " count=0x"));
            bytes += Math.Max(0, Math.Min(end, offset + count) - Math.Max(begin, offset));
        }
        return bytes;

        static long Value(string line, string name)
        {
            var begin = line.IndexOf(name, StringComparison.Ordinal) + name.Length;
            return long.Parse(line[begin..line.IndexOf(' ', begin)], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        }
    }
}
