using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamService.Qemu.Qmp;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// A QEMU or a qemu-storage-daemon of one's own, without libvirt: its disk is <c>vda</c>, one monitor socket is for the
/// service, another for the test.
/// </summary>
internal sealed class MonitoredMachine(DomainKind kind, string folder, string disk, string format, Guid id, string name, int? reconnectDelay)
{
    private Process? _process;

    /// <summary>The monitor that is for the service.</summary>
    public string Socket { get; } = Path.Combine(folder, "qmp.sock");

    public int ProcessId => _process!.Id;

    private string OwnSocket { get; } = Path.Combine(folder, "test.sock");

    public async Task StartAsync()
    {
        Requires.Program(kind == DomainKind.Qemu ? "qemu-system-x86_64" : "qemu-storage-daemon");
        File.Delete(Socket);
        File.Delete(OwnSocket);
        var node = $"driver={format},node-name=vda,file.driver=file,file.filename={disk}";
        // The source is spelt out where its image cannot say how it is to be reached.
        var source = reconnectDelay is not { } delay ? null
            : $"driver=raw,node-name=base,read-only=on,file.driver=nbd,file.server.type=unix,file.server.path={Path.Combine(folder, "base.sock")},file.reconnect-delay={delay}";
        if (source is not null)
            node += ",backing=base";
        string[] arguments = kind == DomainKind.Qemu
            ?
            [
                "-machine", "pc,accel=tcg", "-m", "32", "-display", "none", "-nodefaults", "-S", "-name", name, "-uuid", id.ToString(),
                "-blockdev", node.Replace("node-name=vda", "node-name=overlay", StringComparison.Ordinal), "-device", "virtio-blk-pci,drive=overlay,id=vda",
                "-qmp", $"unix:{Socket},server=on,wait=off", "-qmp", $"unix:{OwnSocket},server=on,wait=off",
            ]
            :
            [
                "--blockdev", node,
                "--chardev", $"socket,id=service,path={Socket},server=on,wait=off", "--monitor", "chardev=service",
                "--chardev", $"socket,id=test,path={OwnSocket},server=on,wait=off", "--monitor", "chardev=test",
            ];
        if (source is not null)
            arguments = [kind == DomainKind.Qemu ? "-blockdev" : "--blockdev", source, .. arguments];
        _process = Process.Start(new ProcessStartInfo(kind == DomainKind.Qemu ? "qemu-system-x86_64" : "qemu-storage-daemon", arguments))!;
        await Shell.WaitForAsync("the monitors", () =>
        {
            Assert.False(_process.HasExited, "QEMU did not start.");
            return Task.FromResult(File.Exists(Socket) && File.Exists(OwnSocket));
        });
    }

    /// <summary>Ends the process in order: its images are closed properly.</summary>
    public async Task StopAsync()
    {
        await MonitorAsync("quit");
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await _process!.WaitForExitAsync(deadline.Token);
    }

    public async Task KillAsync()
    {
        if (_process is not { HasExited: false })
            return;
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <param name="arguments">Members are named with an underscore where QMP has a hyphen.</param>
    public async Task<JsonElement> MonitorAsync(string command, object? arguments = null)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        // A test has the monitor to itself, but its last connection may not be gone yet.
        await using var client = await QmpClient.ConnectAsync(OwnSocket, new QmpClientOptions { Busy = () => { } }, deadline.Token);
        var members = JsonSerializer.SerializeToNode(arguments ?? new { })!.AsObject()
            .Select(member => KeyValuePair.Create(member.Key.Replace('_', '-'), member.Value?.DeepClone()));
        return await client.ExecuteAsync(command, new JsonObject(members), null, deadline.Token);
    }

    /// <summary>I/O in the words of qemu-io, as the one who uses the disk does it.</summary>
    /// <param name="links">Where services see the monitor, and a daemon's NBD socket beside it.</param>
    public async Task GuestAsync(string command, IReadOnlyList<string> links)
    {
        if (kind == DomainKind.StorageDaemon)
        {
            await WriteOverNbdAsync(command, links);
            return;
        }
        var answer = await MonitorAsync("human-monitor-command", new { command_line = $"qemu-io -d /machine/peripheral/vda/virtio-backend \"{command}\"" });
        Assert.DoesNotContain("rror", answer.GetString(), StringComparison.Ordinal);
    }

    /// <summary>Over a second, writable export: on the NBD server that the service has started, or on one of the test's own.</summary>
    private async Task WriteOverNbdAsync(string command, IReadOnlyList<string> links)
    {
        var socket = Path.Combine(folder, "guest.nbd");
        var own = false;
        await Shell.WaitForAsync("an NBD server to write over", async () =>
        {
            own = await TryAsync("nbd-server-start", new { addr = new { type = "unix", data = new { path = socket } } });
            if (!own)
                socket = links.Select(link => link + ".nbd").FirstOrDefault(File.Exists) ?? socket;
            // The service may give its server back at any moment.
            return await TryAsync("block-export-add", new { type = "nbd", id = "guest", node_name = "vda", name = "guest", writable = true });
        });
        await Shell.RunAsync("qemu-io", "-f", "raw", "-c", command, $"nbd+unix:///guest?socket={socket}");
        await MonitorAsync("block-export-del", new { id = "guest", mode = "hard" });
        await Shell.WaitForAsync("the export to go", async () =>
            (await MonitorAsync("query-block-exports")).EnumerateArray().All(export => export.GetProperty("id").GetString() != "guest"));
        if (own)
            await MonitorAsync("nbd-server-stop");
    }

    private async Task<bool> TryAsync(string command, object arguments)
    {
        try
        {
            await MonitorAsync(command, arguments);
            return true;
        }
        catch (QmpCommandException)
        {
            return false;
        }
    }
}
