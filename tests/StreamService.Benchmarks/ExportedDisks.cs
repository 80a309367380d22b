using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamService.Hypervisors;
using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Nbd;
using StreamService.Streaming;

namespace StreamService.Benchmarks;

/// <summary>
/// A qemu-storage-daemon with fresh overlays on one base. Each is exported twice from the same node: writable for the
/// guest that is played, and read-only for the stream, as the service does it inside a domain's QEMU.
/// </summary>
internal sealed class ExportedDisks : IHypervisor, IAsyncDisposable
{
    private const string Host = "bench";

    private readonly string _folder;
    private readonly string _base;
    private readonly Process _daemon;
    private readonly HashSet<string> _dropped = [];

    private ExportedDisks(string folder, string @base, Process daemon)
    {
        _folder = folder;
        _base = @base;
        _daemon = daemon;
    }

    public event Action<Guid?>? Changed;

    public static Guid Domain { get; } = Guid.NewGuid();

    /// <summary>What the guest did; there is no guest device here, so whoever plays the guest tells.</summary>
    public Func<GuestIo> GuestIo { get; set; } = () => default;

    public HostInfo Info { get; } = new(Host, "qemu-storage-daemon", HostState.Connected, null, null, null, null);

    public static DiskAddress Address(int disk) => new(Host, Domain, Node(disk));

    /// <summary>Starts it with so many overlays.</summary>
    public static async Task<ExportedDisks> StartAsync(string folder, string @base, int disks)
    {
        Directory.CreateDirectory(folder);
        var arguments = new List<string>
        {
            "--chardev", $"socket,id=m,path={folder}/qmp.sock,server=on,wait=off", "--monitor", "chardev=m",
            "--nbd-server", $"addr.type=unix,addr.path={folder}/nbd.sock,max-connections=0", "--pidfile", $"{folder}/pid",
        };
        for (var i = 0; i < disks; i++)
        {
            await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", @base, "-F", "raw", $"{folder}/{Node(i)}");
            arguments.AddRange("--blockdev", $"driver=qcow2,node-name={Node(i)},file.driver=file,file.filename={folder}/{Node(i)}",
                "--export", $"type=nbd,id=g{i},node-name={Node(i)},name=guest{i},writable=on",
                "--export", $"type=nbd,id=s{i},node-name={Node(i)},name=stream{i},writable=off,allocation-depth=on");
        }
        var daemon = Process.Start(new ProcessStartInfo("qemu-storage-daemon", arguments))!;
        await Shell.WaitForAsync("qemu-storage-daemon", () => Task.FromResult(File.Exists($"{folder}/pid")));
        return new ExportedDisks(folder, @base, daemon);
    }

    /// <summary>Where a guest finds a disk.</summary>
    public string GuestUri(int disk) => $"nbd+unix:///guest{disk}?socket={_folder}/nbd.sock";

    /// <summary>Starts QEMU's own job on a disk.</summary>
    /// <param name="bytesPerSecond">0 is unlimited.</param>
    public Task StartBlockStreamAsync(int disk, long bytesPerSecond) =>
        ExecuteAsync("block-stream", new JsonObject { ["job-id"] = "peer", ["device"] = Node(disk), ["speed"] = bytesPerSecond });

    /// <summary>Bytes that QEMU's own job has done; null once it is over.</summary>
    public async Task<long?> FindBlockStreamAsync() =>
        (await ExecuteAsync("query-block-jobs", new JsonObject())).EnumerateArray().Select(job => (long?)job.GetProperty("offset").GetInt64()).FirstOrDefault();

    public async Task<DiskExport> ExportDiskAsync(Guid domain, string target, bool evenOff, CancellationToken cancellationToken) =>
        new(await ConnectAsync(target, cancellationToken), token => ConnectAsync(target, token), release: () => ValueTask.CompletedTask);

    public Task<DomainInfo?> FindDomainAsync(string idOrName, CancellationToken cancellationToken) =>
        Task.FromResult<DomainInfo?>(new DomainInfo(Domain, "guest", Host, DomainState.Running, [.. Directory.EnumerateFiles(_folder, Node(0)[..^1] + "*")
            .Select(file => Path.GetFileName(file))
            .Select(node => new DiskInfo(node, node, "qcow2", 0, 64 << 10, _dropped.Contains(node) ? [] : [new ChainImage(_base, "raw")], ReadOnly: false, Streamable: true))]));

    public Task<INativeJob> BeginNativeJobAsync(Guid domain, string target, string? baseImage, long bandwidth, CancellationToken cancellationToken)
    {
        // What is measured ends before; this only lets a run come to its end.
        _dropped.Add(target);
        return Task.FromResult<INativeJob>(new EndedJob());
    }

    public Task FlushWithoutExportAsync(Guid domain, string target, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<LayerSpace?> FindSpaceAsync(Guid domain, string target, CancellationToken cancellationToken) => Task.FromResult<LayerSpace?>(null);

    public Task<GuestIo> GetGuestIoAsync(Guid domain, string target, CancellationToken cancellationToken) => Task.FromResult(GuestIo());

    public Task<BlockJobInfo?> FindBlockJobAsync(Guid domain, string target, CancellationToken cancellationToken) => Task.FromResult<BlockJobInfo?>(null);

    public Task<IReadOnlyList<DomainInfo>> ListDomainsAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task RunAsync(HostTerm term, CancellationToken stopping)
    {
        Changed?.Invoke(null);
        return Task.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        _daemon.Kill();
        await _daemon.WaitForExitAsync();
        _daemon.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static string Node(int disk) => $"disk{disk}";

    private Task<NbdClient> ConnectAsync(string target, CancellationToken cancellationToken) => NbdClient.ConnectAsync(
        new UnixDomainSocketEndPoint($"{_folder}/nbd.sock"),
        target.Replace("disk", "stream", StringComparison.Ordinal),
        new NbdClientOptions { MetadataContexts = [NbdMetadataContext.BaseAllocation, NbdMetadataContext.AllocationDepth] },
        cancellationToken);

    /// <summary>One command over a connection of its own: seldom enough.</summary>
    private async Task<JsonElement> ExecuteAsync(string command, JsonObject arguments)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint($"{_folder}/qmp.sock"));
        await using var stream = new NetworkStream(socket);
        using var reader = new StreamReader(stream);
        await using var writer = new StreamWriter(stream) { AutoFlush = true };
        await reader.ReadLineAsync();
        var answer = default(JsonElement);
        foreach (var message in new[] { new JsonObject { ["execute"] = "qmp_capabilities" }, new JsonObject { ["execute"] = command, ["arguments"] = arguments } })
        {
            await writer.WriteLineAsync(message.ToJsonString());
            do
                answer = JsonDocument.Parse((await reader.ReadLineAsync())!).RootElement;
            while (answer.TryGetProperty("event", out _));
        }
        return answer.TryGetProperty("return", out var value) ? value : throw new InvalidOperationException($"{command}: {answer}");
    }

    /// <summary>A job that had nothing to copy.</summary>
    private sealed class EndedJob : INativeJob
    {
        public Task<NativeJobStatus> AskAsync(CancellationToken cancellationToken) => Task.FromResult(new NativeJobStatus(NativeJobPhase.Ended, 0, 0, null));

        public Task SetBandwidthAsync(long bandwidth, CancellationToken cancellationToken) => Task.CompletedTask;

        public Task FinalizeAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task AbortAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
