using System.Net;
using StreamService.Client;
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
        var (service, disk) = await StartedAsync(domain);
        var before = await PopulatedAsync(disk);

        var first = await disk.StepAsync(MiB, 512);
        Assert.Equal((MiB + Cluster, Cluster, false), (first.Offset, first.Populated, first.Done));
        var after = await PopulatedAsync(disk);
        Assert.Equal([(MiB, (long)Cluster)], after.Except(before));

        // Again: the same place to go on, and nothing left to bring in.
        var second = await disk.StepAsync(MiB, 512);
        Assert.Equal((MiB + Cluster, 0, false), (second.Offset, second.Populated, second.Done));
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu, Traits = ["Category", "Slow"])]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task A_range_that_straddles_clusters_populates_all_that_it_touches(DomainKind kind)
    {
        await using var domain = await TestDomain.StartAsync(middle: false, kind: kind);
        var (service, disk) = await StartedAsync(domain);

        var step = await disk.StepAsync(MiB + Cluster - 512, 1024);

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
        var (service, disk) = await StartedAsync(domain);

        foreach (var offset in new[] { 1, 511, size, size + 512, -512 })
            using (var refused = await service.StreamAsync(domain, new { mode = "single", offset }))
                Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);

        // The last cluster is partial. A range beyond the end is cut; then the first byte that is left is told.
        var last = await disk.StepAsync(size - 512, 1 << 20);
        Assert.Equal((0L, 40L << 10, false), (last.Offset, last.Populated, last.Done));

        // In a hole nothing needs to be brought in; the next data is told.
        var hole = await disk.StepAsync(40 * MiB);
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
        var (service, disk) = await StartedAsync(domain);
        await domain.GuestWriteAsync(0xd1, 5 << 20, 10 << 10);

        // Begin in the middle: what lies before must be found as well.
        var step = await disk.StepAsync(7 << 20);
        var steps = 1;
        for (; !step.Done; steps++)
        {
            if (steps == 60)
                await domain.GuestWriteAsync(0xd2, 1 << 20, 200 << 10);
            step = await disk.StepAsync(step.Offset, 128 << 10);
            Assert.True(steps < 1000, "The steps do not arrive.");
        }
        Assert.Equal(16 << 20, step.Offset);

        // Whose last answer was lost asks again.
        Assert.True((await disk.StepAsync(0)).Done);
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
        var (service, disk) = await StartedAsync(domain);
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 24 << 20 });

        long offset = 63 << 20;
        // On a busy machine the full stream may be at its end before.
        var done = false;
        for (var i = 0; i < 100 && offset > 0 && !done; i++)
        {
            var step = await disk.StepAsync(offset, Cluster);
            (offset, done) = (step.Offset, step.Done);
        }

        await service.WaitForStateAsync(domain, "completed");
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
    }

    private async Task<(ServiceProcess Service, DiskClient Disk)> StartedAsync(TestDomain domain)
    {
        var service = await shared.StartedAsync();
        await service.AdoptAsync(domain);
        return (service, service.Client.Disk(domain.Key, "vda"));
    }

    private static async Task<HashSet<(long Offset, long Length)>> PopulatedAsync(DiskClient disk) =>
        [.. (await disk.GetMapAsync()).Extents!.Where(extent => extent.State == AllocationState.Populated).Select(extent => (extent.Offset, extent.Length))];
}
