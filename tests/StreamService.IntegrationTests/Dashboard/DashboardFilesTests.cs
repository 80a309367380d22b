using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>What a browser gets when it first opens the dashboard: how much, how packed, and for how long.</summary>
public sealed partial class DashboardFilesTests(SharedService shared)
{
    private const int Limit = 200 << 10;

    [Theory]
    [InlineData("br")]
    [InlineData("gzip")]
    public async Task Scripts_are_small_compressed_and_kept(string encoding)
    {
        var service = await shared.StartedAsync();
        using var http = new HttpClient { BaseAddress = service.Address };
        var page = await http.GetStringAsync("/");
        var first = AssetName().Matches(page).Select(match => match.Value).Distinct().ToList();
        Assert.Contains(first, name => name.EndsWith(".js", StringComparison.Ordinal));
        // What the first script fetches later counts as well.
        var all = Directory.GetFiles(Path.Combine(Repository.Root, "src", "StreamService", "wwwroot", "assets")).Select(file => "assets/" + Path.GetFileName(file)).ToList();
        Assert.Subset(all.ToHashSet(), first.ToHashSet());

        long scripts = 0;
        foreach (var name in all)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, name);
            request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue(encoding));
            using var answer = await http.SendAsync(request);
            Assert.Equal([encoding], answer.Content.Headers.ContentEncoding);
            Assert.Contains("Accept-Encoding", answer.Headers.Vary);
            Assert.Equal("public, max-age=31536000, immutable", answer.Headers.CacheControl!.ToString());
            if (name.EndsWith(".js", StringComparison.Ordinal))
                scripts += (await answer.Content.ReadAsByteArrayAsync()).Length;
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"{scripts} bytes of script with {encoding}");
        Assert.InRange(scripts, 1, Limit);
    }

    [Fact]
    public async Task Page_itself_is_asked_for_each_time_and_answers_of_the_api_are_neither_kept_nor_compressed()
    {
        var service = await shared.StartedAsync();
        using var http = new HttpClient { BaseAddress = service.Address };
        http.DefaultRequestHeaders.AcceptEncoding.Add(new StringWithQualityHeaderValue("br"));
        using var page = await http.GetAsync("/");
        Assert.Equal("no-cache", page.Headers.CacheControl!.ToString());
        Assert.NotNull(page.Headers.ETag);
        using var hosts = await http.GetAsync("/hosts");
        Assert.Equal("no-store", hosts.Headers.CacheControl!.ToString());
        Assert.Empty(hosts.Content.Headers.ContentEncoding);
    }

    [GeneratedRegex(@"assets/[\w.-]+")]
    private static partial Regex AssetName();
}
