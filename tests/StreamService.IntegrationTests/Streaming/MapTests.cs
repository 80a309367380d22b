using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>What the map in buckets tells of a disk while it is streamed, and the status of what is on its way.</summary>
[Trait("Category", "Slow")]
public sealed class MapTests(SharedService shared)
{
    private const long MiB = 1 << 20;
    private const int Count = 64;

    [Fact]
    public async Task Buckets_tell_what_is_there_what_is_durable_and_what_is_a_hole()
    {
        // Data, a hole of a quarter, data.
        await using var domain = await TestDomain.StartAsync(middle: false);
        var service = await shared.StartedAsync();
        var fresh = await MapAsync(service, domain);
        Assert.Equal(Count / 4, Sum(fresh, "holes"));
        Assert.Equal(Count / 4, Sum(fresh, "buckets"));
        Assert.Equal(JsonValueKind.Null, fresh.GetProperty("durable").ValueKind);
        Assert.Equal(JsonValueKind.Null, fresh.GetProperty("hot").ValueKind);

        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 4 * MiB, policy = "fixed" });
        await service.WaitForAsync(domain, "a checkpoint", status => status.GetProperty("bytesDurable").GetInt64() > 0);
        var (map, status) = (await MapAsync(service, domain), await service.StatusAsync(domain));
        var local = Sum(map, "buckets") - Sum(map, "holes");
        Assert.InRange(Sum(map, "durable"), 0.5, local);
        // A status may be a second old.
        Assert.InRange(local, 1, (double)status.GetProperty("bytesStreamed").GetInt64() / MiB + 4);
        Assert.All(Enumerable.Range(0, Count), bucket => Assert.InRange(
            map.GetProperty("durable")[bucket].GetDouble() + map.GetProperty("holes")[bucket].GetDouble(), 0, map.GetProperty("buckets")[bucket].GetDouble() + 0.001));

        await service.HurryAsync(domain);
        await service.WaitForStateAsync(domain, "completed");
        var done = await MapAsync(service, domain);
        Assert.Equal(Count, Sum(done, "buckets"));
        Assert.Equal(JsonValueKind.Null, done.GetProperty("durable").ValueKind);
    }

    [Fact]
    public async Task Status_names_the_budgets_on_the_way_and_the_streams_share()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        await using var service = await ServiceProcess.StartAsync(new()
        {
            ["StreamService__Budgets__0__Name"] = "uplink",
            ["StreamService__Budgets__0__Scope"] = "Service",
            ["StreamService__Budgets__0__BytesPerSecond"] = (2 * MiB).ToString(System.Globalization.CultureInfo.InvariantCulture),
        });
        await service.StartStreamAsync(domain, new { mode = "full", policy = "fixed" });
        var running = await service.WaitForAsync(domain, "a share", status => status.GetProperty("budgets").GetArrayLength() > 0);
        var budget = Assert.Single(running.GetProperty("budgets").EnumerateArray());
        Assert.Equal(("uplink", 2 * MiB, 2 * MiB), (budget.GetProperty("name").GetString(), budget.GetProperty("bytesPerSecond").GetInt64(), budget.GetProperty("share").GetInt64()));
        var summary = await service.Http.GetFromJsonAsync<JsonElement>("/streams/summary");
        Assert.Equal(1, summary.GetProperty("states").GetProperty("running").GetInt32());
        await service.ChangeAsync(domain, new { state = "paused" });
        Assert.Equal(0, (await service.StatusAsync(domain)).GetProperty("budgets").GetArrayLength());
    }

    private static Task<JsonElement> MapAsync(ServiceProcess service, TestDomain domain) =>
        service.Http.GetFromJsonAsync<JsonElement>($"{ServiceProcess.DiskUrl(domain)}/map?buckets={Count}");

    private static double Sum(JsonElement map, string member) => map.GetProperty(member).EnumerateArray().Sum(bucket => bucket.GetDouble());
}
