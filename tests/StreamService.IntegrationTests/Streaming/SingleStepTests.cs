using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Streaming;

/// <summary>The single mode: one unit at an offset, and where to go on.</summary>
public sealed class SingleStepTests(SharedService shared)
{
    private const int Cluster = 64 << 10;
    private const long MiB = 1 << 20;

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    [InlineData("qcow2", DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData("qcow2", DomainKind.StorageDaemon)]
    public async Task Half_a_kilobyte_populates_exactly_the_one_cluster_it_lies_in(string format, DomainKind kind = DomainKind.Libvirt)
    {
        await using var domain = await TestDomain.StartAsync(format, middle: false, kind: kind);
        var service = await shared.StartedAsync();
        var before = await PopulatedAsync(service, domain);

        var first = await StepAsync(service, domain, new { mode = "single", offset = MiB, length = 512 });
        Assert.Equal((MiB + Cluster, Cluster, false), (first.Offset, first.Populated, first.Done));
        var after = await PopulatedAsync(service, domain);
        Assert.Equal([(MiB, (long)Cluster)], after.Except(before));

        // Again: the same place to go on, and nothing left to bring in.
        var second = await StepAsync(service, domain, new { mode = "single", offset = MiB, length = 512 });
        Assert.Equal((MiB + Cluster, 0, false), (second.Offset, second.Populated, second.Done));
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task A_range_that_straddles_clusters_populates_all_that_it_touches(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(middle: false, kind: kind);
        var service = await shared.StartedAsync();

        var step = await StepAsync(service, domain, new { mode = "single", offset = MiB + Cluster - 512, length = 1024 });

        Assert.Equal((MiB + (2 * Cluster), 2 * Cluster, false), (step.Offset, step.Populated, step.Done));
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Ends_and_edges_of_the_disk_answer_as_the_contract_says(DomainKind kind)
    {
        const long size = (64 * MiB) + (40 << 10);
        await using var domain = await TestDomain.StartAsync(size: size, middle: false, kind: kind);
        var service = await shared.StartedAsync();

        foreach (var offset in new[] { 1, 511, size, size + 512, -512 })
            using (var refused = await service.StreamAsync(domain, new { mode = "single", offset }))
                Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);

        // The last cluster is partial. A range beyond the end is cut; then the first byte that is left is told.
        var last = await StepAsync(service, domain, new { mode = "single", offset = size - 512, length = 1 << 20 });
        Assert.Equal((0L, 40L << 10, false), (last.Offset, last.Populated, last.Done));

        // In a hole nothing needs to be brought in; the next data is told.
        var hole = await StepAsync(service, domain, new { mode = "single", offset = 40 * MiB });
        Assert.Equal((0, false), (hole.Populated, hole.Done));
        Assert.True(hole.Offset >= 48 * MiB && hole.Offset < 49 * MiB, $"{hole.Offset}");
    }

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    [InlineData("qcow2", DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData("qcow2", DomainKind.StorageDaemon)]
    public async Task Whoever_follows_the_offset_arrives_and_guest_writes_survive(string format, DomainKind kind = DomainKind.Libvirt)
    {
        await using var domain = await TestDomain.StartAsync(format, size: 16 << 20, kind: kind);
        var service = await shared.StartedAsync();
        await domain.GuestWriteAsync(0xd1, 5 << 20, 10 << 10);

        // Begin in the middle: what lies before must be found as well.
        var step = await StepAsync(service, domain, new { mode = "single", offset = 7 << 20 });
        var steps = 1;
        for (; !step.Done; steps++)
        {
            if (steps == 60)
                await domain.GuestWriteAsync(0xd2, 1 << 20, 200 << 10);
            step = await StepAsync(service, domain, new { mode = "single", offset = step.Offset, length = 128 << 10 });
            Assert.True(steps < 1000, "The steps do not arrive.");
        }
        Assert.Equal(16 << 20, step.Offset);

        // Whose last answer was lost asks again.
        Assert.True((await StepAsync(service, domain, new { mode = "single", offset = 0 })).Done);
        Assert.Equal("completed", (await service.StatusAsync(domain)).GetProperty("state").GetString());
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Steps_work_beside_a_full_stream(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(kind: kind);
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 24 << 20 });

        long offset = 63 << 20;
        // On a busy machine the full stream may be at its end before.
        var done = false;
        for (var i = 0; i < 100 && offset > 0 && !done; i++)
            (offset, _, done) = await StepAsync(service, domain, new { mode = "single", offset, length = Cluster });

        await service.WaitForStateAsync(domain, "completed");
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    private static async Task<(long Offset, long Populated, bool Done)> StepAsync(ServiceProcess service, TestDomain domain, object body)
    {
        using var answer = await service.StreamAsync(domain, body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        var step = await answer.Content.ReadFromJsonAsync<JsonElement>();
        return (step.GetProperty("offset").GetInt64(), step.GetProperty("populated").GetInt64(), step.GetProperty("done").GetBoolean());
    }

    private static async Task<HashSet<(long Offset, long Length)>> PopulatedAsync(ServiceProcess service, TestDomain domain)
    {
        await service.AdoptAsync(domain);
        var map = await service.Http.GetFromJsonAsync<JsonElement>($"{ServiceProcess.DiskUrl(domain)}/map");
        return [.. map.GetProperty("extents").EnumerateArray()
            .Where(extent => extent.GetProperty("state").GetString() == "populated")
            .Select(extent => (extent.GetProperty("offset").GetInt64(), extent.GetProperty("length").GetInt64()))];
    }
}
