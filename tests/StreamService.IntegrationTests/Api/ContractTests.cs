using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Api;

/// <summary>The shape of each answer, member by member. That each also fits the OpenAPI document, the harness sees to.</summary>
public sealed class ContractTests(SharedService shared)
{
    private static readonly string[] StatusMembers =
    [
        "path", "offset", "size", "streamId", "host", "domain", "domainName", "mode", "engine", "engineReason", "state", "base", "bandwidth",
        "minBandwidth", "policy", "targetLatencyMs", "priority", "onError", "bytesStreamed", "bytesDurable", "hotRemaining", "guestLatencyMs", "budgets", "bytesRemaining", "bytesPerSecond", "etaSeconds", "reason", "attempt", "nextAttemptAt", "lastError", "error",
        "createdAt", "startedAt", "updatedAt", "finishedAt", "generation", "order", "bootReadyAt",
    ];

    [Fact]
    public async Task Hosts()
    {
        var service = await shared.StartedAsync();
        var host = Assert.Single((await service.Http.GetFromJsonAsync<JsonElement>("/hosts")).EnumerateArray(), host => host.GetProperty("name").GetString() == "local");
        AssertMembers(host, "name", "uri", "state", "driver", "hypervisor", "hypervisorVersion", "libvirtVersion", "lastError");
        Assert.Equal(("local", "qemu:///system", "connected", "QEMU"), (Text(host, "name"), Text(host, "uri"), Text(host, "state"), Text(host, "hypervisor")));
        Assert.True(Version.TryParse(Text(host, "hypervisorVersion"), out _));
        Assert.True(Version.TryParse(Text(host, "libvirtVersion"), out _));
        Assert.Equal(JsonValueKind.Null, host.GetProperty("lastError").ValueKind);
    }

    [Fact]
    public async Task Domains_by_id_and_name_by_host_and_state_and_page_by_page()
    {
        await using var running = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        await using var off = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        await off.StopAsync();
        var service = await shared.StartedAsync();

        foreach (var id in new[] { running.Id.ToString(), running.Id.ToString().ToUpperInvariant(), running.Name })
        {
            var domain = await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{id}");
            AssertMembers(domain, "id", "name", "host", "state", "disks", "deployment");
            Assert.Equal((running.Id, running.Name, "local", "running"), (domain.GetProperty("id").GetGuid(), Text(domain, "name"), Text(domain, "host"), Text(domain, "state")));
            Assert.Equal("vda", Text(Assert.Single(domain.GetProperty("disks").EnumerateArray()), "target"));
        }

        var all = await PagesAsync(service, "/domains?host=local", "id", [running.Id, off.Id]);
        Assert.Equal(all.Order(StringComparer.Ordinal), all.Distinct().Order(StringComparer.Ordinal));
        Assert.Contains(off.Id.ToString(), await PagesAsync(service, "/domains?state=shutOff", "id", [off.Id]));
        Assert.DoesNotContain(running.Id.ToString(), await PagesAsync(service, "/domains?state=shutOff", "id", [off.Id]));
        Assert.DoesNotContain(off.Id.ToString(), await PagesAsync(service, "/domains?state=running&host=local", "id", [running.Id]));
    }

    [Fact]
    public async Task Disk_by_target_and_by_source_path()
    {
        await using var domain = await TestDomain.StartAsync("qed", size: 16 << 20);
        var service = await shared.StartedAsync();
        var source = Uri.EscapeDataString(domain.Disk);
        foreach (var path in new[] { "vda", source, source.Replace("%2F", "%2f", StringComparison.Ordinal) })
        {
            var disk = await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Name}/disks/{path}");
            AssertMembers(disk, "target", "source", "format", "size", "clusterSize", "backingChain", "streamable");
            Assert.Equal(("vda", domain.Disk, "qed"), (Text(disk, "target"), Text(disk, "source"), Text(disk, "format")));
            Assert.Equal((16 << 20, 64 << 10), (disk.GetProperty("size").GetInt64(), disk.GetProperty("clusterSize").GetInt64()));
            Assert.True(disk.GetProperty("streamable").GetBoolean());
            Assert.Equal(
                [(domain.Chain[0], "qcow2"), (domain.Chain[1], "raw")],
                disk.GetProperty("backingChain").EnumerateArray().Select(image => (Text(image, "source")!, Text(image, "format")!)));
            foreach (var more in new[] { "/map", "/status" })
                Assert.Equal("vda", Text(await service.Http.GetFromJsonAsync<JsonElement>($"/domains/{domain.Id}/disks/{path}{more}"), "path"));
        }
    }

    [Fact]
    public async Task Map_is_contiguous_and_its_buckets_add_up()
    {
        const long size = (64L << 20) + (40 << 10);
        await using var domain = await TestDomain.StartAsync(size: size);
        var service = await shared.StartedAsync();
        await domain.GuestWriteAsync(0x11, 1 << 20, 1 << 20);

        var map = await service.Http.GetFromJsonAsync<JsonElement>($"{ServiceProcess.DiskUrl(domain)}/map");
        AssertMembers(map, "path", "size", "clusterSize", "populated", "remaining", "extents", "buckets", "holes", "durable", "hot");
        long next = 0, populated = 0, remaining = 0;
        foreach (var extent in map.GetProperty("extents").EnumerateArray())
        {
            Assert.Equal(next, extent.GetProperty("offset").GetInt64());
            var length = extent.GetProperty("length").GetInt64();
            Assert.True(length > 0);
            next += length;
            populated += Text(extent, "state") == "populated" ? length : 0;
            remaining += Text(extent, "state") == "backing" ? length : 0;
            Assert.Contains(Text(extent, "state"), (string[])["populated", "backing", "hole"]);
            Assert.Equal(Text(extent, "state") == "populated", extent.GetProperty("depth").GetInt32() == 1);
        }
        Assert.Equal((size, size), (next, map.GetProperty("size").GetInt64()));
        Assert.Equal((populated, remaining), (map.GetProperty("populated").GetInt64(), map.GetProperty("remaining").GetInt64()));
        Assert.True(populated >= 1 << 20 && remaining > 40 << 20);

        foreach (var buckets in new[] { 1, 7, 100, 4096 })
        {
            var bucketed = await service.Http.GetFromJsonAsync<JsonElement>($"{ServiceProcess.DiskUrl(domain)}/map?buckets={buckets}");
            var fractions = bucketed.GetProperty("buckets").EnumerateArray().Select(fraction => fraction.GetDouble()).ToList();
            Assert.Equal(buckets, fractions.Count);
            Assert.All(fractions, fraction => Assert.InRange(fraction, 0, 1));
            // Buckets are equal to a byte.
            Assert.InRange(fractions.Sum(fraction => (1 - fraction) * size / buckets), remaining - 2 * buckets, remaining + 2 * buckets);
            Assert.Equal(JsonValueKind.Null, bucketed.GetProperty("extents").ValueKind);
        }
    }

    [Fact]
    public async Task Status_is_idle_before_and_the_whole_story_after()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20);
        var service = await shared.StartedAsync();

        var idle = await service.StatusAsync(domain);
        AssertMembers(idle, StatusMembers);
        Assert.Equal(("vda", "idle", 0, 16 << 20), (Text(idle, "path"), Text(idle, "state"), idle.GetProperty("offset").GetInt64(), idle.GetProperty("size").GetInt64()));
        Assert.Equal((domain.Id, domain.Name), (idle.GetProperty("domain").GetGuid(), Text(idle, "domainName")));

        // By its source path, so that Location must be the disk's own URL, not the caller's.
        using var answer = await service.Http.PostAsJsonAsync($"/domains/{domain.Name}/disks/{Uri.EscapeDataString(domain.Disk)}/stream",
            new { mode = "full", bandwidth = 4 << 20, policy = "fixed", priority = "high", onError = "report", engine = "pipelined", order = "sequential", @base = domain.Chain[1] });
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        var accepted = await answer.Content.ReadFromJsonAsync<JsonElement>();
        AssertMembers(accepted, StatusMembers);
        Assert.Equal(("full", "pipelined", "fixed", "high", "report", domain.Chain[1]),
            (Text(accepted, "mode"), Text(accepted, "engine"), Text(accepted, "policy"), Text(accepted, "priority"), Text(accepted, "onError"), Text(accepted, "base")));
        Assert.Equal(4 << 20, accepted.GetProperty("bandwidth").GetInt64());
        Assert.Equal("queued", Text(accepted, "state"));
        var located = await service.Http.GetFromJsonAsync<JsonElement>(answer.Headers.Location);
        Assert.Equal(accepted.GetProperty("streamId").GetGuid(), located.GetProperty("streamId").GetGuid());

        var done = await service.WaitForStateAsync(domain, "completed");
        Assert.Equal(done.GetProperty("size").GetInt64(), done.GetProperty("offset").GetInt64());
        foreach (var member in new[] { "createdAt", "startedAt", "updatedAt", "finishedAt" })
        {
            Assert.EndsWith("Z", Text(done, member), StringComparison.Ordinal);
            Assert.InRange(DateTimeOffset.Parse(Text(done, member)!, CultureInfo.InvariantCulture), TimeProvider.System.GetUtcNow().AddMinutes(-1), TimeProvider.System.GetUtcNow().AddSeconds(1));
        }
        foreach (var member in new[] { "reason", "error" })
            Assert.Equal(JsonValueKind.Null, done.GetProperty(member).ValueKind);
        // By its id it can be read for ever.
        var byId = await service.Http.GetFromJsonAsync<JsonElement>($"/streams/{done.GetProperty("streamId").GetGuid()}");
        Assert.Equal(done.GetRawText(), byId.GetRawText());
    }

    [Fact]
    public async Task Single_answers_with_its_five_members()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        using var answer = await service.StreamAsync(domain, new { mode = "single", offset = 128 << 10 });
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("""{"path":"vda","offset":196608,"size":16777216,"populated":65536,"done":false}""", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Long_poll_answers_on_the_generation_and_with_the_present_status_at_its_end()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var url = $"{ServiceProcess.DiskUrl(domain)}/status";

        // Nothing happens: the present status, after the time asked for.
        var began = TimeProvider.System.GetTimestamp();
        var idle = await service.Http.GetFromJsonAsync<JsonElement>($"{url}?waitForGeneration=1&timeoutSeconds=0.3");
        Assert.Equal("idle", Text(idle, "state"));
        Assert.InRange(TimeProvider.System.GetElapsedTime(began).TotalSeconds, 0.29, 10);

        // A poll that hangs before the stream begins hears of it.
        var hanging = service.Http.GetFromJsonAsync<JsonElement>($"{url}?waitForGeneration=1&timeoutSeconds=60");
        var accepted = await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 64 << 10 });
        Assert.Equal(accepted.GetProperty("streamId").GetGuid(), (await hanging.WaitAsync(TimeSpan.FromSeconds(10))).GetProperty("streamId").GetGuid());

        // What has been reached is answered at once; what follows rises.
        var generation = 0L;
        for (var i = 0; i < 5; i++)
        {
            var status = await service.Http.GetFromJsonAsync<JsonElement>($"{url}?waitForGeneration={generation + 1}&timeoutSeconds=20");
            Assert.True(status.GetProperty("generation").GetInt64() > generation);
            generation = status.GetProperty("generation").GetInt64();
        }

        // Across the end of one stream and the beginning of the next.
        await service.ChangeAsync(domain, new { state = "paused" });
        generation = (await service.StatusAsync(domain)).GetProperty("generation").GetInt64();
        (await service.Http.DeleteAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/stream", UriKind.Relative))).Dispose();
        var cancelled = await service.Http.GetFromJsonAsync<JsonElement>($"{url}?waitForGeneration={generation + 1}&timeoutSeconds=20");
        Assert.Equal("cancelled", Text(cancelled, "state"));
        var next = await service.StartStreamAsync(domain);
        Assert.True(next.GetProperty("generation").GetInt64() > cancelled.GetProperty("generation").GetInt64());
    }

    [Fact]
    public async Task Streams_newest_first_page_by_page_by_state_host_and_domain()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var started = new List<Guid>();
        for (var i = 0; i < 4; i++)
        {
            started.Insert(0, (await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 64 << 10 })).GetProperty("streamId").GetGuid());
            (await service.Http.DeleteAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/stream", UriKind.Relative))).Dispose();
            await service.WaitForStateAsync(domain, "cancelled");
        }
        started.Insert(0, (await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 64 << 10 })).GetProperty("streamId").GetGuid());
        await service.WaitForStateAsync(domain, "running");

        foreach (var id in new[] { domain.Name, domain.Id.ToString() })
            Assert.Equal(started.Select(stream => stream.ToString()), await PagesAsync(service, $"/domains/{id}/streams", "streamId", []));
        var ours = started.Select(stream => stream.ToString()).ToHashSet();
        Assert.Equal(started.Select(stream => stream.ToString()), (await PagesAsync(service, "/streams?host=local", "streamId", started)).Where(ours.Contains));
        Assert.Equal(started.Skip(1).Select(stream => stream.ToString()), (await PagesAsync(service, "/streams?state=cancelled", "streamId", started.Skip(1))).Where(ours.Contains));
        Assert.Equal(started.Take(1).Select(stream => stream.ToString()), (await PagesAsync(service, "/streams?state=running&state=paused", "streamId", started.Take(1))).Where(ours.Contains));
    }

    [Fact]
    public async Task Operators_find_health_documents_and_the_description()
    {
        var service = await shared.StartedAsync();
        Assert.Equal("Healthy", await service.Http.GetStringAsync("/healthz"));
        var ready = await service.Http.GetFromJsonAsync<JsonElement>("/readyz");
        Assert.Equal(("Healthy", "connected"), (Text(ready, "status"), Text(ready.GetProperty("hosts"), "local")));
        var document = await service.Http.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        Assert.StartsWith("3.1", Text(document, "openapi"), StringComparison.Ordinal);
        Assert.Contains("swagger-ui", await service.Http.GetStringAsync("/swagger/index.html"), StringComparison.Ordinal);
        Assert.Contains("swagger-ui", await service.Http.GetStringAsync("/swagger"), StringComparison.Ordinal);
    }

    /// <summary>All items' ids, two at a time; other tests' come and go, those named must be there.</summary>
    private static async Task<List<string>> PagesAsync(ServiceProcess service, string url, string id, IEnumerable<Guid> expected)
    {
        var ids = new List<string>();
        string? cursor = null;
        do
        {
            var separator = url.Contains('?', StringComparison.Ordinal) ? '&' : '?';
            var page = await service.Http.GetFromJsonAsync<JsonElement>($"{url}{separator}limit=2{(cursor is null ? "" : $"&cursor={cursor}")}");
            AssertMembers(page, "items", "nextCursor");
            var items = page.GetProperty("items").EnumerateArray().Select(item => Text(item, id)!).ToList();
            cursor = Text(page, "nextCursor");
            Assert.True(cursor is null ? items.Count <= 2 : items.Count == 2);
            Assert.Empty(items.Intersect(ids));
            ids.AddRange(items);
        }
        while (cursor is not null);
        Assert.Empty(expected.Select(item => item.ToString()).Except(ids));
        return ids;
    }

    private static void AssertMembers(JsonElement element, params string[] members) =>
        Assert.Equal(members.Order(StringComparer.Ordinal), element.EnumerateObject().Select(member => member.Name).Order(StringComparer.Ordinal));

    private static string? Text(JsonElement element, string member) => element.GetProperty(member).GetString();
}
