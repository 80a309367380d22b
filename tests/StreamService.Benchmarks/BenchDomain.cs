using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Libvirt;

namespace StreamService.Benchmarks;

/// <summary>A running domain with an empty overlay on a base, whose firmware has found nothing to boot and rests.</summary>
internal sealed class BenchDomain : IAsyncDisposable
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);
    private static int _count;

    private readonly Workbench _bench;

    private BenchDomain(Workbench bench)
    {
        _bench = bench;
        Name = $"bench-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}";
    }

    public string Name { get; }

    public Guid Id { get; private set; }

    /// <summary>Of the disk's calls.</summary>
    public string Url => $"/domains/{Id}/disks/vda";

    private string Disk => Path.Combine(_bench.Folder, $"{Name}.overlay");

    private string Xml => Path.Combine(_bench.Folder, $"{Name}.xml");

    public static async Task<BenchDomain> StartAsync(Workbench bench, string format, BaseSource source)
    {
        var domain = new BenchDomain(bench);
        await domain.UseBlocksAsync();
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", format, "-b", source.Backing, "-F", "raw", domain.Disk,
            bench.Options.Size.ToString(CultureInfo.InvariantCulture));
        await File.WriteAllTextAsync(domain.Xml, TestDomain.Definition(domain.Name, domain.Disk, format).ToString());
        // Transient: gone as soon as it ends.
        await TestDomain.VirshAsync("create", domain.Xml);
        try
        {
            using var handle = await bench.Libvirt.LookupByNameAsync(domain.Name);
            domain.Id = handle.Uuid;
            await RestAsync(handle);
            return domain;
        }
        catch
        {
            await domain.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a full stream.</summary>
    public async Task StartStreamAsync(long bandwidth = 0) => await AcceptedAsync(
        await _bench.Http.PostAsJsonAsync($"{Url}/stream", new { mode = "full", bandwidth }));

    public async Task ChangeAsync(long bandwidth) => await AcceptedAsync(
        await _bench.Http.PatchAsJsonAsync($"{Url}/stream", new { bandwidth }));

    public async Task CancelAsync()
    {
        await AcceptedAsync(await _bench.Http.DeleteAsync($"{Url}/stream"));
        await WaitForAsync("cancelled");
    }

    /// <summary>Streams the whole disk as a caller does: posts the request, long-polls until the stream is completed.</summary>
    public async Task StreamAsync()
    {
        await StartStreamAsync();
        await WaitForAsync("completed");
    }

    public async Task WaitForAsync(string wanted)
    {
        for (long generation = 0; ;)
        {
            var status = await _bench.Http.GetFromJsonAsync<JsonElement>($"{Url}/status?waitForGeneration={generation + 1}&timeoutSeconds=60");
            generation = status.GetProperty("generation").GetInt64();
            var state = status.GetProperty("state").GetString();
            if (state == wanted)
                return;
            if (state is "failed" or "cancelled" or "completed" or "waiting")
                throw new InvalidOperationException($"The stream is {state}, not {wanted}: {status}\n{_bench.Service.LogText}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await TestDomain.VirshAsync("destroy", Name);
        File.Delete(Disk);
        File.Delete(Xml);
    }

    /// <summary>
    /// Writes as much as the overlay will hold, and frees it: the file system gives what was freed last out first. On a machine whose
    /// own disk is thin, stable storage costs a block's first write several times what it costs the next one, and a stream that
    /// flushes would pay for it where a pull that does not would leave it to the kernel, after its end.
    /// </summary>
    private async Task UseBlocksAsync()
    {
        await Shell.RunAsync("dd", $"if={_bench.Base}", $"of={Disk}", "bs=1M", "conv=fdatasync");
        File.Delete(Disk);
        await Shell.RunAsync("sync");
    }

    private static async Task AcceptedAsync(HttpResponseMessage answer)
    {
        using (answer)
            if (!answer.IsSuccessStatusCode)
                throw new InvalidOperationException($"{answer.RequestMessage}: {await answer.Content.ReadAsStringAsync()}");
    }

    /// <summary>Waits until the firmware has tried to boot: what it reads would be in the way of whoever is measured first.</summary>
    private static async Task RestAsync(LibvirtDomain domain)
    {
        var (operations, since) = (0L, TimeProvider.System.GetTimestamp());
        await Shell.WaitForAsync($"{domain.Name} to rest", async () =>
        {
            var stats = await domain.GetBlockStatsAsync("vda");
            if (stats.ReadOperations != operations)
                (operations, since) = (stats.ReadOperations, TimeProvider.System.GetTimestamp());
            return operations > 0 && TimeProvider.System.GetElapsedTime(since) > Quiet;
        });
    }
}
