using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Api;

/// <summary>Requests that are at fault by themselves: every fault is named, and nothing is looked up, let alone changed.</summary>
public sealed class InvalidRequestTests(SharedService shared)
{
    /// <summary>No host has it: the request's own faults come first.</summary>
    private static readonly string Disk = $"/domains/{Guid.NewGuid()}/disks/vda";

    /// <summary>The body, and the members that the answer must name: all, and no others.</summary>
    public static TheoryData<string, string[]> StreamBodies => new()
    {
        // Not JSON, or not an object.
        { "", [""] },
        { "{", [""] },
        { "mode=full", [""] },
        { """{"mode":"full"} and more""", [""] },
        { """{"mode":"full",}""", [""] },
        { """{"mode":"full"/* sic */}""", [""] },
        { """{"mode":"full","bandwidth":NaN}""", [""] },
        { """{"mode":"full","bandwidth":Infinity}""", [""] },
        { """{"mode":"full","bandwidth":0x10}""", [""] },
        { """{"mode":"full","base":"\ud800"}""", ["base"] },
        { "[]", [""] },
        { "null", [""] },
        { "\"full\"", [""] },
        { "17", [""] },
        { string.Concat(Enumerable.Repeat("{\"base\":", 200)) + "1" + new string('}', 200), [""] },
        { new string('[', 5000), [""] },

        // Members.
        { "{}", ["mode"] },
        { """{"mode":null}""", ["mode"] },
        { """{"mode":"full","mode":"full"}""", ["mode"] },
        { """{"mode":"full","bandwith":1}""", ["bandwith"] },
        { """{"mode":"full","BANDWIDTH":1}""", ["BANDWIDTH"] },
        { """{"mode":"full","\ud800":1}""", [""] },
        { """{"mode":"full","__proto__":{"mode":"full"}}""", ["__proto__"] },

        // Types and values.
        { """{"mode":"Full"}""", ["mode"] },
        { """{"mode":"both"}""", ["mode"] },
        { """{"mode":"\ud800"}""", [""] },
        { """{"mode":0}""", ["mode"] },
        { """{"mode":"0"}""", ["mode"] },
        { """{"mode":["full"]}""", ["mode"] },
        { """{"mode":"single","offset":-512}""", ["offset"] },
        { """{"mode":"single","offset":511}""", ["offset"] },
        { """{"mode":"single","offset":512.5}""", ["offset"] },
        { """{"mode":"single","offset":"512"}""", ["offset"] },
        { """{"mode":"single","offset":true}""", ["offset"] },
        { """{"mode":"single","offset":9223372036854775808}""", ["offset"] },
        { """{"mode":"single","offset":1e400}""", ["offset"] },
        { """{"mode":"single","length":0}""", ["length"] },
        { """{"mode":"single","length":-512}""", ["length"] },
        { """{"mode":"single","length":1000}""", ["length"] },
        { """{"mode":"single","length":1099511627776}""", ["length"] },
        { """{"mode":"full","bandwidth":-1}""", ["bandwidth"] },
        { """{"mode":"full","bandwidth":9223372036854775807}""", ["bandwidth"] },
        { """{"mode":"full","bandwidth":"10"}""", ["bandwidth"] },
        { """{"mode":"full","bandwidth":[]}""", ["bandwidth"] },
        { """{"mode":"full","base":""}""", ["base"] },
        { """{"mode":"full","base":{}}""", ["base"] },
        { """{"mode":"full","base":7}""", ["base"] },
        { """{"mode":"full","policy":"kind"}""", ["policy"] },
        { """{"mode":"full","priority":1}""", ["priority"] },
        { """{"mode":"full","onError":"ignore"}""", ["onError"] },
        { """{"mode":"full","engine":"warp"}""", ["engine"] },
        { """{"mode":"full","order":"random"}""", ["order"] },

        // What belongs to the other mode.
        { """{"mode":"full","offset":0,"length":512}""", ["offset", "length"] },

        // All at once.
        {
            """{"offset":1,"offset":-1,"length":7,"bandwidth":-1,"base":"","policy":"x","priority":null,"onError":2,"engine":"","order":{},"speed":9,"start":0}""",
            ["mode", "offset", "length", "bandwidth", "base", "policy", "onError", "engine", "order", "speed", "start"]
        },
    };

    [Theory]
    [MemberData(nameof(StreamBodies))]
    public async Task Body_of_POST_stream_is_refused_with_all_its_faults(string body, string[] members)
    {
        var service = await shared.StartedAsync();
        using var answer = await Problem.PostTextAsync(service.Http, $"{Disk}/stream", body);
        await Problem.AssertInvalidAsync(answer, members);
    }

    [Theory]
    [InlineData("{}", "")]
    [InlineData("""{"state":"stopped"}""", "state")]
    [InlineData("""{"state":"completed","bandwidth":-5,"policy":3,"mode":"full"}""", "state", "bandwidth", "policy", "mode")]
    [InlineData("""{"bandwidth":1.5}""", "bandwidth")]
    [InlineData("""{"priority":"urgent"}""", "priority")]
    public async Task Body_of_PATCH_stream_is_refused_with_all_its_faults(string body, params string[] members)
    {
        var service = await shared.StartedAsync();
        using var content = new StringContent(body, new System.Net.Http.Headers.MediaTypeHeaderValue("application/json"));
        using var answer = await service.Http.PatchAsync(new Uri($"{Disk}/stream", UriKind.Relative), content);
        await Problem.AssertInvalidAsync(answer, members);
    }

    [Theory]
    [InlineData("/domains?limit=0", "limit")]
    [InlineData("/domains?limit=1001", "limit")]
    [InlineData("/domains?limit=many", "limit")]
    [InlineData("/domains?limit=99999999999999999999", "limit")]
    [InlineData("/domains?limit=1.5", "limit")]
    [InlineData("/domains?state=dreaming", "state")]
    [InlineData("/domains?state=1", "state")]
    [InlineData("/domains?state=99", "state")]
    [InlineData("/domains?state=running,paused", "state")]
    [InlineData("/domains?limit=-1&state=x&cursor=%25", "cursor", "limit", "state")]
    [InlineData("/domains?cursor=%25%25", "cursor")]
    [InlineData("/domains?cursor=AAAA", "cursor")]
    [InlineData("/streams?limit=0", "limit")]
    [InlineData("/streams?state=gone", "state")]
    [InlineData("/streams?state=3", "state")]
    [InlineData("/streams?state=running,completed", "state")]
    [InlineData("/streams?state=running&state=gone", "state")]
    [InlineData("/streams?cursor=nonsense", "cursor")]
    [InlineData("/streams?cursor=LTEKMA", "cursor")] // "-1\n0"
    [InlineData("DISK/map?buckets=0", "buckets")]
    [InlineData("DISK/map?buckets=-1", "buckets")]
    [InlineData("DISK/map?buckets=65537", "buckets")]
    [InlineData("DISK/map?buckets=1e3", "buckets")]
    [InlineData("DISK/status?waitForGeneration=-1", "waitForGeneration")]
    [InlineData("DISK/status?waitForGeneration=next", "waitForGeneration")]
    [InlineData("DISK/status?waitForGeneration=99999999999999999999", "waitForGeneration")]
    [InlineData("DISK/status?timeoutSeconds=-1", "timeoutSeconds")]
    [InlineData("DISK/status?timeoutSeconds=-0.4", "timeoutSeconds")]
    [InlineData("DISK/status?timeoutSeconds=300.4", "timeoutSeconds")]
    [InlineData("DISK/status?timeoutSeconds=NaN", "timeoutSeconds")]
    [InlineData("DISK/status?timeoutSeconds=Infinity", "timeoutSeconds")]
    [InlineData("DISK/status?timeoutSeconds=1e300", "timeoutSeconds")]
    [InlineData("DISK/status?timeoutSeconds=1,2", "timeoutSeconds")]
    [InlineData("DISK/status?timeoutSeconds=soon&waitForGeneration=x", "timeoutSeconds", "waitForGeneration")]
    public async Task Query_is_refused_with_all_its_faults(string url, params string[] members)
    {
        var service = await shared.StartedAsync();
        using var answer = await service.Http.GetAsync(new Uri(url.Replace("DISK", Disk, StringComparison.Ordinal), UriKind.Relative));
        await Problem.AssertInvalidAsync(answer, members);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\tb")]
    [InlineData(null)]
    public async Task Idempotency_key_is_printable_and_not_long(string? key)
    {
        var service = await shared.StartedAsync();
        using var answer = await Problem.PostWithKeyAsync(service.Http, $"{Disk}/stream", key ?? new string('k', 256), new { mode = "full" });
        await Problem.AssertInvalidAsync(answer, "Idempotency-Key");
    }

    [Fact]
    public async Task A_thousand_unknown_members_do_not_make_a_thousand_errors()
    {
        var service = await shared.StartedAsync();
        var body = JsonSerializer.Serialize(Enumerable.Range(0, 1000).ToDictionary(i => $"m{i}", i => i));
        using var answer = await Problem.PostTextAsync(service.Http, $"{Disk}/stream", body);
        var problem = await Problem.AssertAsync(answer, 400, "invalid-request");
        Assert.InRange(problem.GetProperty("errors").EnumerateObject().Count(), 100, 300);
    }

    [Fact]
    public async Task Body_beyond_all_measure_is_refused()
    {
        var service = await shared.StartedAsync();
        using var request = new HttpRequestMessage(HttpMethod.Post, $"{Disk}/stream")
        {
            Content = new StringContent("{\"base\":\"" + new string('x', 31 << 20) + "\"}", new System.Net.Http.Headers.MediaTypeHeaderValue("application/json")),
            // Else the connection is closed while the body is still being sent.
            Headers = { ExpectContinue = true },
        };
        using var answer = await service.Http.SendAsync(request);
        await Problem.AssertAsync(answer, 413, "invalid-request");
    }

    [Fact]
    public async Task Offset_must_lie_within_the_disk_and_on_a_sector()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        foreach (var offset in new[] { 16L << 20, (16L << 20) + 512, long.MaxValue - 511, 1, 513, -1, -512 })
        {
            using var answer = await service.StreamAsync(domain, new { mode = "single", offset });
            var problem = await Problem.AssertInvalidAsync(answer, "offset");
            Assert.Contains(offset >= 0 ? offset.ToString(CultureInfo.InvariantCulture) : "negative", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        }
        Assert.Equal("idle", (await service.StatusAsync(domain)).GetProperty("state").GetString());
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/xml")]
    [InlineData("application/json; charset=utf-16")]
    [InlineData("application/json; charset=")]
    [InlineData("application/problem+json")]
    public async Task Another_media_type_is_415(string mediaType)
    {
        var service = await shared.StartedAsync();
        using var answer = await Problem.PostTextAsync(service.Http, $"{Disk}/stream", """{"mode":"full"}""", mediaType);
        await Problem.AssertAsync(answer, 415, "invalid-request");
    }

    [Theory]
    [InlineData("text/html")]
    [InlineData("application/xml")]
    [InlineData("application/hal+json")]
    [InlineData("text/json")]
    public async Task Whatever_the_caller_accepts_answers_are_JSON_and_errors_keep_their_code(string accepted)
    {
        var service = await shared.StartedAsync();
        using (var answer = await SendAsync(HttpMethod.Get, Disk))
            await Problem.AssertAsync(answer, 404, "domain-not-found");
        using (var answer = await SendAsync(HttpMethod.Put, Disk))
            await Problem.AssertAsync(answer, 405, "method-not-allowed");
        using (var answer = await SendAsync(HttpMethod.Get, "/hosts"))
            Assert.Equal("application/json", answer.Content.Headers.ContentType?.MediaType);

        async Task<HttpResponseMessage> SendAsync(HttpMethod method, string url)
        {
            using var request = new HttpRequestMessage(method, url) { Headers = { { "Accept", accepted } } };
            return await service.Http.SendAsync(request);
        }
    }

    [Fact]
    public async Task Unknown_routes_are_404_and_wrong_methods_405()
    {
        var service = await shared.StartedAsync();
        foreach (var url in new[] { "/nothing", "/domains/a/b/c/d", $"{Disk}/stream/x", "/hosts/x/y" })
            using (var answer = await service.Http.GetAsync(new Uri(url, UriKind.Relative)))
                await Problem.AssertAsync(answer, 404, "not-found");
        using (var answer = await service.Http.PutAsJsonAsync($"{Disk}/stream", new { mode = "full" }))
            await Problem.AssertAsync(answer, 405, "method-not-allowed");
        using (var answer = await service.Http.DeleteAsync(new Uri("/hosts", UriKind.Relative)))
            await Problem.AssertAsync(answer, 405, "method-not-allowed");
    }
}
