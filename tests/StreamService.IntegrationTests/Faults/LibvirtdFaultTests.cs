using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>The libvirt daemon itself, on a host of the test's own: the system's serves other tests meanwhile.</summary>
[Trait("Category", "Slow")]
public sealed class LibvirtdFaultTests(FaultTable table) : IAsyncLifetime
{
    private TwoHosts _hosts = null!;
    private MigratingGuest _guest = null!;
    private ServiceProcess _service = null!;

    public async ValueTask InitializeAsync()
    {
        _hosts = await TwoHosts.StartAsync();
        _guest = await MigratingGuest.StartAsync(_hosts, backing: true);
        _service = await ServiceProcess.StartAsync(new() { ["StreamService__Streaming__RetryDelay"] = "00:00:00.3", ["StreamService__Streaming__StalledAfter"] = "00:00:02" }, _hosts);
    }

    public async ValueTask DisposeAsync()
    {
        await _service.DisposeAsync();
        await _guest.DisposeAsync();
        await _hosts.DisposeAsync();
    }

    [Fact]
    public async Task Daemon_that_is_killed_and_away_for_a_minute_harms_no_byte()
    {
        await BeginAsync();
        await _hosts.KillLibvirtdAsync(1);
        // What is populated goes between the service and QEMU: it needs no libvirt.
        var before = await StreamedAsync();
        await Shell.WaitForAsync("progress without libvirt", async () => await StreamedAsync() > before + (8 << 20), TimeSpan.FromMinutes(1));
        await Task.Delay(TimeSpan.FromSeconds(45), TestContext.Current.CancellationToken);
        await _hosts.StartLibvirtdAsync(1);
        await FinishAsync("libvirtd: SIGKILL, back after a minute");
    }

    [Fact]
    public async Task Daemon_that_is_away_when_the_link_is_to_be_dropped_is_waited_for()
    {
        await BeginAsync();
        await _hosts.KillLibvirtdAsync(1);
        await _service.HurryAsync(Url);
        var waiting = await _service.WaitForAsync(Url, "waiting", status => status.GetProperty("state").GetString() == "waiting", TimeSpan.FromMinutes(2));
        Assert.Contains("cannot be reached", waiting.GetProperty("reason").GetString(), StringComparison.Ordinal);
        await _hosts.StartLibvirtdAsync(1);
        await FinishAsync("libvirtd: SIGKILL, away at the end of the stream");
    }

    [Fact]
    public async Task Daemon_that_hangs_is_waited_for()
    {
        await BeginAsync();
        var daemon = int.Parse(await File.ReadAllTextAsync(Path.Combine(_hosts.Folder, "h1", "run", "libvirtd.pid"), TestContext.Current.CancellationToken), System.Globalization.CultureInfo.InvariantCulture);
        await FaultBench.SignalAsync(daemon, "STOP");
        try
        {
            await _service.HurryAsync(Url);
            await _service.WaitForAsync(Url, "waiting", status => status.GetProperty("state").GetString() == "waiting", TimeSpan.FromMinutes(2));
        }
        finally
        {
            await FaultBench.SignalAsync(daemon, "CONT");
        }
        await FinishAsync("libvirtd: SIGSTOP, SIGCONT");
    }

    private string Url => ServiceProcess.DiskUrl(_guest);

    /// <summary>Slow enough that the fault comes before the end, however loaded the machine is.</summary>
    private async Task BeginAsync()
    {
        await _service.StartStreamAsync(Url, new { mode = "full", bandwidth = 1 << 20 });
        await _service.WaitForAsync(Url, "the middle", status => status.GetProperty("bytesStreamed").GetInt64() > 1 << 20, TimeSpan.FromMinutes(1));
    }

    private async Task<long> StreamedAsync() => Status(await _service.Http.GetAsync(Url + "/status", TestContext.Current.CancellationToken)).GetProperty("bytesStreamed").GetInt64();

    private static JsonElement Status(HttpResponseMessage answer)
    {
        using (answer)
            return JsonDocument.Parse(answer.Content.ReadAsStream()).RootElement;
    }

    private async Task FinishAsync(string fault)
    {
        try
        {
            await FinishAndCompareAsync();
            table.Add(fault, "in mid-stream", "running → completed", $"{FaultTests.Describe(FaultBench.SeenIn(_service.LogText))}; bytes equal");
        }
        catch (Exception exception)
        {
            throw new InvalidOperationException($"{fault}: {exception.Message}\n{_service.LogText}", exception);
        }
    }

    private async Task FinishAndCompareAsync()
    {
        await Shell.WaitForAsync("the host to be reached again", async () =>
        {
            using var answer = await _service.Http.GetAsync(Url, TestContext.Current.CancellationToken);
            return answer.IsSuccessStatusCode;
        }, TimeSpan.FromMinutes(2));
        await _service.HurryAsync(Url);
        await _service.WaitForStateAsync(Url, "completed", TimeSpan.FromMinutes(2));
        await _guest.StopAsync(1);
        Assert.Null(await _guest.BackingFileAsync(1));
        Assert.True(await _guest.ContentEqualsAsync(1));
    }
}
