using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Xml.Linq;
using StreamService.Hypervisors;
using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Qmp;

namespace StreamService.Benchmarks;

/// <summary>What happened in a soak.</summary>
internal sealed class SoakCounts
{
    /// <summary>Enough to see what is wrong.</summary>
    private const int MostNotes = 20;

    public int Completed;

    /// <summary>The cancel came when the backing link had been dropped already.</summary>
    public int TooLate;

    public int Cancelled;
    public int Paused;
    public int Changed;
    public int Killed;
    public int Compared;
    public int Different;
    public int Failed;
    public int Stuck;
    public int Faults;
    public int Broken;

    public ConcurrentQueue<string> Notes { get; } = new();

    /// <summary>What went wrong, for people.</summary>
    public void Note(string text)
    {
        if (Notes.Count < MostNotes)
            Notes.Enqueue(text);
    }
}

/// <summary>One machine of a soak: its disk is made, streamed with all that may happen to a stream, compared, and made anew.</summary>
internal abstract class SoakMachine(string folder, string image, int number, HttpClient http, SoakCounts counts, Random random) : IAsyncDisposable
{
    /// <summary>A stream that is neither paused nor its machine away, and has brought in nothing for so long, is stuck.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    /// <summary>One of so many finished disks is compared.</summary>
    private const int CompareEvery = 3;

    private static readonly long[] Bandwidths = [128 << 10, 256 << 10, 512 << 10, 2 << 20];

    protected string Folder => folder;

    protected string Disk { get; } = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"disk{number}"));

    /// <summary>What the service calls it.</summary>
    protected abstract string Id { get; }

    private string Url => $"/domains/{Id}/disks/vda";

    /// <summary>Exports that its QEMU has now; none where it does not run.</summary>
    public abstract Task<int> CountExportsAsync();

    public abstract ValueTask DisposeAsync();

    protected abstract Task BootAsync();

    protected abstract Task KillAsync();

    /// <summary>In order: images are closed properly.</summary>
    protected abstract Task StopAsync();

    /// <summary>Round after round until it is told to stop; then its stream is over.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                File.Delete(Disk);
                await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", Disk);
                await BootAsync();
                if (await IsKnownAsync())
                    await StreamAsync(stopping);
                await EndRoundAsync(stopping);
            }
        }
        catch (Exception exception)
        {
            Interlocked.Increment(ref counts.Broken);
            counts.Note($"{Id}: {exception}");
        }
    }

    /// <summary>The image is new, and the service may have seen the last round's until now.</summary>
    private async Task<bool> IsKnownAsync()
    {
        for (var begun = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(begun) < Patience; await PauseAsync(0.1, 0.4))
        {
            using var answer = await http.GetAsync(new Uri(Url, UriKind.Relative));
            Check(answer);
            if (answer.IsSuccessStatusCode && (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("streamable").GetBoolean())
                return true;
        }
        Interlocked.Increment(ref counts.Stuck);
        counts.Note($"{Id} was not seen by the service.");
        return false;
    }

    private async Task StreamAsync(CancellationToken stopping)
    {
        await BeginAsync();
        var (moved, at) = (-1L, Stopwatch.GetTimestamp());
        while (true)
        {
            await PauseAsync(0.5, 3);
            var status = await StatusAsync();
            var state = status?.GetProperty("state").GetString();
            // Where the beginning was refused, the status is still the last round's.
            if (state is not null && status!.Value.GetProperty("streamId").ToString() != _streamId)
                state = await IsIndependentAsync() ? "completed" : "idle";
            var streamed = status?.GetProperty("bytesStreamed").GetInt64() ?? moved;
            if (streamed != moved || state == "paused")
                (moved, at) = (streamed, Stopwatch.GetTimestamp());
            if (state == "completed")
            {
                Interlocked.Increment(ref counts.Completed);
                return;
            }
            if (state == "cancelled" && await IsIndependentAsync())
            {
                Interlocked.Increment(ref counts.TooLate);
                return;
            }
            if (state == "failed")
            {
                Interlocked.Increment(ref counts.Failed);
                counts.Note($"{Id} failed: {status}");
                return;
            }
            if (Stopwatch.GetElapsedTime(at) > Patience)
            {
                Interlocked.Increment(ref counts.Stuck);
                counts.Note($"{Id} does not get on: {status}");
                await CancelAsync();
                return;
            }
            if (stopping.IsCancellationRequested)
            {
                await CancelAsync();
                return;
            }
            // Not known while its machine comes back.
            if (state is not null)
                await ActAsync(state);
        }
    }

    private async Task ActAsync(string state)
    {
        switch (state)
        {
            case "cancelled" or "idle":
                for (var steps = random.Next(3); steps > 0; steps--)
                    await SendAsync(HttpMethod.Post, new { mode = "single", offset = 65536 * random.Next(16) });
                await BeginAsync();
                return;
            case "paused" when random.Next(2) == 0:
                await SendAsync(HttpMethod.Patch, new { state = "running" });
                return;
            case "waiting":
                // It goes on by itself.
                return;
        }
        switch (random.Next(16))
        {
            case 0 or 1:
                Interlocked.Increment(ref counts.Changed);
                await SendAsync(HttpMethod.Patch, new { bandwidth = Bandwidth() });
                break;
            case 2:
                Interlocked.Increment(ref counts.Changed);
                await SendAsync(HttpMethod.Patch, new { policy = random.Next(2) == 0 ? "fixed" : "adaptive", priority = random.Next(2) == 0 ? "low" : "high" });
                break;
            case 3:
                Interlocked.Increment(ref counts.Paused);
                await SendAsync(HttpMethod.Patch, new { state = "paused" });
                break;
            case 4:
                Interlocked.Increment(ref counts.Cancelled);
                await SendAsync(HttpMethod.Delete, null);
                break;
            case 5:
                Interlocked.Increment(ref counts.Killed);
                await KillAsync();
                await PauseAsync(0, 3);
                await BootAsync();
                break;
        }
    }

    /// <summary>A disk that was streamed needs no base and equals it, whatever became of its machine right afterwards.</summary>
    private async Task EndRoundAsync(CancellationToken stopping)
    {
        var completed = await StatusAsync() is { } status && status.GetProperty("state").GetString() == "completed" && status.GetProperty("streamId").ToString() == _streamId
            || await IsIndependentAsync();
        // What is left in a QEMU that ran to the end is looked at after the last round.
        if (stopping.IsCancellationRequested && !completed)
            return;
        await (random.Next(2) == 0 ? KillAsync() : StopAsync());
        if (!completed || random.Next(CompareEvery) > 0)
            return;
        Interlocked.Increment(ref counts.Compared);
        var info = JsonDocument.Parse(await Shell.RunAsync("qemu-img", "info", "--output=json", Disk)).RootElement;
        if (info.TryGetProperty("backing-filename", out _) || !await IsSameAsync())
        {
            Interlocked.Increment(ref counts.Different);
            counts.Note($"{Id}: {Disk} is not what its base is: {info}");
        }
    }

    private async Task<bool> IsSameAsync()
    {
        try
        {
            await Shell.RunAsync("qemu-img", "compare", "-f", "qcow2", "-F", "raw", Disk, image);
            return true;
        }
        catch (InvalidOperationException different)
        {
            counts.Note(different.Message);
            return false;
        }
    }

    /// <summary>Whether the disk has no backing image any more; false where the machine is not there.</summary>
    private async Task<bool> IsIndependentAsync()
    {
        using var answer = await http.GetAsync(new Uri(Url, UriKind.Relative));
        Check(answer);
        return answer.IsSuccessStatusCode && (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("backingChain").GetArrayLength() == 0;
    }

    /// <summary>Of the newest stream; null where the machine is not there.</summary>
    private async Task<JsonElement?> StatusAsync()
    {
        using var answer = await http.GetAsync(new Uri($"{Url}/status", UriKind.Relative));
        Check(answer);
        return answer.IsSuccessStatusCode ? await answer.Content.ReadFromJsonAsync<JsonElement>() : null;
    }

    private string? _streamId;

    private async Task BeginAsync()
    {
        using var answer = await http.PostAsJsonAsync(new Uri($"{Url}/stream", UriKind.Relative), new { mode = "full", bandwidth = Bandwidth(), policy = random.Next(2) == 0 ? "fixed" : "adaptive" });
        Check(answer);
        if (answer.StatusCode == HttpStatusCode.Accepted)
            _streamId = (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("streamId").GetString();
    }

    private async Task CancelAsync()
    {
        await SendAsync(HttpMethod.Delete, null);
        for (var begun = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(begun) < Patience; await PauseAsync(0.2, 0.5))
        {
            if ((await StatusAsync())?.GetProperty("state").GetString() is "cancelled" or "completed" or "failed")
                return;
            await SendAsync(HttpMethod.Delete, null);
        }
    }

    private async Task SendAsync(HttpMethod method, object? body)
    {
        using var request = new HttpRequestMessage(method, $"{Url}/stream") { Content = body is null ? null : JsonContent.Create(body) };
        using var answer = await http.SendAsync(request);
        Check(answer);
    }

    /// <summary>That the machine is away just now, or that its stream is not what one thought, is no fault of the service.</summary>
    private void Check(HttpResponseMessage answer)
    {
        if (answer.StatusCode is not (>= HttpStatusCode.InternalServerError or HttpStatusCode.BadRequest) || answer.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.BadGateway)
            return;
        Interlocked.Increment(ref counts.Faults);
        counts.Note($"{answer.RequestMessage?.Method} {answer.RequestMessage?.RequestUri} was answered {(int)answer.StatusCode}.");
    }

    private long Bandwidth() => Bandwidths[random.Next(Bandwidths.Length)];

    /// <summary>The rhythm of those who call: what is observed is the time itself.</summary>
    private Task PauseAsync(double least, double most) => Task.Delay(TimeSpan.FromSeconds(least + random.NextDouble() * (most - least)));
}

/// <summary>A qemu-storage-daemon with a monitor for the service and one for us.</summary>
internal sealed class SoakDaemon(string folder, string monitors, string image, int number, HttpClient http, SoakCounts counts, Random random)
    : SoakMachine(folder, image, number, http, counts, random)
{
    private readonly string _ours = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"own{number}"));
    private Process? _process;

    protected override string Id { get; } = string.Create(CultureInfo.InvariantCulture, $"d{number}");

    private string Monitor => Path.Combine(monitors, Id + ".sock");

    public override async Task<int> CountExportsAsync()
    {
        try
        {
            using var enough = new CancellationTokenSource(TimeSpan.FromSeconds(10));
            await using var client = await QmpClient.ConnectAsync(_ours, new QmpClientOptions { Busy = () => { } }, enough.Token);
            return (await client.QueryBlockExportsAsync(enough.Token)).Count;
        }
        catch (Exception away) when (away is QmpException or OperationCanceledException)
        {
            return 0;
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process?.Dispose();
    }

    protected override async Task BootAsync()
    {
        File.Delete(Monitor);
        File.Delete(_ours);
        _process?.Dispose();
        _process = await LastingThread.RunAsync(() => Process.Start(new ProcessStartInfo("qemu-storage-daemon",
        [
            "--blockdev", $"driver=qcow2,node-name=vda,file.driver=file,file.filename={Disk}",
            "--chardev", $"socket,id=own,path={_ours},server=on,wait=off", "--monitor", "chardev=own",
            "--chardev", $"socket,id=service,path={Monitor},server=on,wait=off", "--monitor", "chardev=service",
        ])
        { RedirectStandardError = true })!);
        // It tells of every connection that ends within a request, as those of a killed machine do.
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginErrorReadLine();
        await Shell.WaitForAsync("the monitors of a daemon", () => Task.FromResult(File.Exists(Monitor) && File.Exists(_ours)), TimeSpan.FromMinutes(1));
    }

    protected override async Task KillAsync()
    {
        if (_process is not { HasExited: false })
            return;
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    protected override async Task StopAsync()
    {
        await using (var client = await QmpClient.ConnectAsync(_ours, new QmpClientOptions { Busy = () => { } }, CancellationToken.None))
            try
            {
                await client.ExecuteAsync("quit", null, null, CancellationToken.None);
            }
            catch (QmpException)
            {
                // Gone before it had answered.
            }
        await _process!.WaitForExitAsync();
    }
}

/// <summary>A domain of libvirt's.</summary>
internal sealed class SoakDomain(string folder, string image, int number, HttpClient http, SoakCounts counts, Random random)
    : SoakMachine(folder, image, number, http, counts, random)
{
    private readonly string _name = string.Create(CultureInfo.InvariantCulture, $"soak-{Environment.ProcessId}-{number}");

    protected override string Id { get; } = Guid.NewGuid().ToString();

    public override async Task<int> CountExportsAsync()
    {
        try
        {
            return JsonDocument.Parse(await TestDomain.VirshAsync("qemu-monitor-command", _name, """{"execute":"query-block-exports"}""")).RootElement.GetProperty("return").GetArrayLength();
        }
        catch (InvalidOperationException)
        {
            return 0;
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await TryAsync(() => TestDomain.VirshAsync("destroy", _name));
        await TryAsync(() => TestDomain.VirshAsync("undefine", _name));
    }

    protected override async Task BootAsync()
    {
        var file = Disk + ".xml";
        if (!File.Exists(file))
        {
            var xml = TestDomain.Definition(_name, Disk, "qcow2");
            xml.Add(new XElement("uuid", Id));
            await File.WriteAllTextAsync(file, xml.ToString());
            await TestDomain.VirshAsync("define", file);
        }
        await TestDomain.VirshAsync("start", _name);
    }

    protected override async Task KillAsync()
    {
        var pid = int.Parse((await File.ReadAllTextAsync($"/run/libvirt/qemu/{_name}.pid")).Trim(), CultureInfo.InvariantCulture);
        using (var process = Process.GetProcessById(pid))
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
        await Shell.WaitForAsync($"libvirt to see the end of {_name}",
            async () => (await TestDomain.VirshAsync("domstate", _name)).Trim() is "shut off" or "crashed", TimeSpan.FromMinutes(1));
    }

    protected override Task StopAsync() => TestDomain.VirshAsync("destroy", _name, "--graceful");

    private static async Task TryAsync(Func<Task> action)
    {
        try
        {
            await action();
        }
        catch (InvalidOperationException)
        {
            // Gone already.
        }
    }
}
