using System.Collections.Concurrent;
using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Api;

/// <summary>
/// Twenty polls a second of disk, map and status each, through every way in which a stream can end: there are queries that
/// crash QEMU when they come at the wrong moment of a block job.
/// </summary>
[Trait("Category", "Slow")]
public sealed class PollingTests(SharedService shared)
{
    private const long MiB = 1 << 20;

    [Theory]
    [InlineData("qcow2", true)]
    [InlineData("qed", false)]
    public async Task Through_success(string format, bool copyOnRead)
    {
        // Holes, so that the end has something to do as well.
        await using var domain = await TestDomain.StartAsync(format, copyOnRead: copyOnRead);
        var service = await shared.StartedAsync();
        await using (var polls = await Polls.StartAsync(service, domain))
        {
            await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 24 * MiB });
            await service.WaitForStateAsync(domain, "completed");
            await polls.GoOnAsync();
            Assert.Contains("running", polls.StatesSeen);
            Assert.Contains("completed", polls.StatesSeen);
        }
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Through_cancel_and_again_at_once()
    {
        await using var domain = await TestDomain.StartAsync();
        var service = await shared.StartedAsync();
        await using (var polls = await Polls.StartAsync(service, domain))
        {
            for (var i = 1; i <= 4; i++)
            {
                await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 8 * MiB });
                await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > MiB);
                (await service.Http.DeleteAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/stream", UriKind.Relative))).Dispose();
                await service.WaitForStateAsync(domain, "cancelled");
            }
            await polls.GoOnAsync();
            Assert.Contains("cancelled", polls.StatesSeen);
        }
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Through_failure()
    {
        var service = await shared.StartedAsync();
        NbdkitServer? source = null;
        var faulty = "";
        await using var domain = await TestDomain.StartAsync(middle: false, baseUri: async image =>
        {
            // Reads fail as long as that file is there.
            faulty = Path.Combine(Path.GetDirectoryName(image)!, "faulty");
            source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
            await source.StartAsync("--filter=error", "error-pread=EIO", "error-pread-rate=100%", $"error-pread-file={faulty}");
            return source.Uri;
        });
        await using (source)
        {
            await using (var polls = await Polls.StartAsync(service, domain))
            {
                for (var i = 0; i < 2; i++)
                {
                    await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 8 * MiB, onError = "report" });
                    await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > 2 * MiB);
                    await File.WriteAllTextAsync(faulty, "");
                    var failed = await service.WaitForStateAsync(domain, "failed");
                    Assert.Equal("hypervisor-error", failed.GetProperty("error").GetProperty("code").GetString());
                    await polls.GoOnAsync();
                    File.Delete(faulty);
                }
                Assert.Contains("failed", polls.StatesSeen);
                // What failed is gone on from.
                await service.StartStreamAsync(domain);
                await service.WaitForStateAsync(domain, "completed");
                await polls.GoOnAsync();
            }
            await domain.StopAsync();
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertIntactAsync();
        }
    }

    [Theory]
    [InlineData(DomainKind.Libvirt)]
    [InlineData(DomainKind.Qemu)]
    [InlineData(DomainKind.StorageDaemon)]
    public async Task Through_native_cancel_failure_and_success(DomainKind kind)
    {
        var service = await shared.StartedAsync();
        NbdkitServer? source = null;
        var faulty = "";
        await using var domain = await TestDomain.StartAsync(size: 32 * MiB, middle: false, kind: kind, baseUri: async image =>
        {
            faulty = Path.Combine(Path.GetDirectoryName(image)!, "faulty");
            source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
            await source.StartAsync("--filter=error", "error-pread=EIO", "error-pread-rate=100%", $"error-pread-file={faulty}");
            return source.Uri;
        });
        await using (source)
        {
            await using (var polls = await Polls.StartAsync(service, domain))
            {
                await service.StartStreamAsync(domain, new { mode = "full", engine = "native", bandwidth = 4 * MiB });
                await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > MiB);
                (await service.Http.DeleteAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/stream", UriKind.Relative))).Dispose();
                await service.WaitForStateAsync(domain, "cancelled");
                await polls.GoOnAsync();

                await service.StartStreamAsync(domain, new { mode = "full", engine = "native", bandwidth = 4 * MiB, onError = "report" });
                await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > MiB);
                await File.WriteAllTextAsync(faulty, "");
                await service.WaitForStateAsync(domain, "failed");
                await polls.GoOnAsync();
                File.Delete(faulty);

                await service.StartStreamAsync(domain, new { mode = "full", engine = "native", bandwidth = 16 * MiB });
                await service.WaitForStateAsync(domain, "completed");
                await polls.GoOnAsync();
                Assert.Superset(new HashSet<string> { "running", "cancelled", "failed", "completed" }, polls.StatesSeen.ToHashSet());
            }
            await domain.StopAsync();
            Assert.Null(await domain.BackingFileAsync());
            await domain.AssertIntactAsync();
        }
    }

    /// <summary>Three pollers beside a test. At its end QEMU must be the same process, and every answer fit to be given.</summary>
    private sealed class Polls : IAsyncDisposable
    {
        private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);

        private readonly CancellationTokenSource _stop = new();
        private readonly ServiceProcess _service;
        private readonly TestDomain _domain;
        private readonly int _pid;
        private readonly ConcurrentDictionary<string, int> _states = new();
        private readonly ConcurrentQueue<string> _faults = new();
        private readonly Task[] _pollers;
        private int _rounds;

        private Polls(ServiceProcess service, TestDomain domain, int pid)
        {
            (_service, _domain, _pid) = (service, domain, pid);
            _pollers = [.. new[] { "", "/map", "/map?buckets=64", "/status" }.Select(PollAsync)];
        }

        public ICollection<string> StatesSeen => _states.Keys;

        public static async Task<Polls> StartAsync(ServiceProcess service, TestDomain domain)
        {
            await service.AdoptAsync(domain);
            return new(service, domain, await domain.QemuPidAsync());
        }

        /// <summary>Returns after a second's worth of further polls of each kind.</summary>
        public async Task GoOnAsync()
        {
            var enough = Volatile.Read(ref _rounds) + (20 * _pollers.Length);
            await Shell.WaitForAsync("further polls", () => Task.FromResult(Volatile.Read(ref _rounds) >= enough));
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await Task.WhenAll(_pollers);
            _stop.Dispose();
            Assert.Empty(_faults);
            Assert.Equal(_pid, await _domain.QemuPidAsync());
            if (_domain.Kind == DomainKind.Libvirt)
                Assert.Equal("running", (await TestDomain.VirshAsync("domstate", _domain.Name)).Trim());
        }

        private async Task PollAsync(string what)
        {
            using var timer = new PeriodicTimer(Interval);
            try
            {
                while (await timer.WaitForNextTickAsync(_stop.Token))
                {
                    using var answer = await _service.Http.GetAsync(new Uri(ServiceProcess.DiskUrl(_domain) + what, UriKind.Relative));
                    // A source that is away can make a map fail; that is QEMU's refusal, not a fault.
                    if (!answer.IsSuccessStatusCode && !(what.StartsWith("/map", StringComparison.Ordinal) && (int)answer.StatusCode == 502))
                        _faults.Enqueue($"{what}: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
                    if (what == "/status")
                        _states.TryAdd((await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("state").GetString()!, 0);
                    Interlocked.Increment(ref _rounds);
                }
            }
            catch (OperationCanceledException)
            {
            }
        }
    }
}
