using System.Globalization;
using System.Text.Json;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// Two libvirt hosts, h1 and h2, on this machine, by <c>deploy/two-hosts</c>: each with a network, a libvirtd and a folder <c>/srv</c>
/// of its own. All other files are this machine's, at the same paths.
/// </summary>
internal sealed partial class TwoHosts : IAsyncDisposable
{
    private static readonly string Script = Path.Combine(Repository.Root, "deploy", "two-hosts");
    private static int _count;

    private TwoHosts(string folder) => Folder = folder;

    /// <summary>What holds both. QEMU's user can read it.</summary>
    public string Folder { get; }

    /// <summary>The libvirt URI of a host as h1 sees it.</summary>
    public static string UriOf(int host) => host == 1 ? "qemu:///system" : "qemu+tcp://h2/system";

    /// <summary>Starts both, which takes a second or two.</summary>
    public static async Task<TwoHosts> StartAsync()
    {
        Requires.Root();
        foreach (var program in new[] { "libvirtd", "virtlogd", "virsh", "qemu-img", "ip", "nsenter", "unshare" })
            Requires.Program(program);
        // deploy/test knows by the name whose it is.
        var hosts = new TwoHosts($"/var/tmp/sst-hosts-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}");
        try
        {
            await Shell.RunAsync(Script, "start", hosts.Folder);
            return hosts;
        }
        catch
        {
            await hosts.DisposeAsync();
            throw;
        }
    }

    /// <summary>What the host sees as <c>/srv</c>.</summary>
    public string Srv(int host) => Path.Combine(Folder, Name(host), "srv");

    /// <summary>The command that runs another one in a host, in place of itself: its process id stays.</summary>
    public (string Program, string[] Arguments) Enter(int host, params string[] command) =>
        (Script, ["exec", Folder, host.ToString(CultureInfo.InvariantCulture), .. command]);

    /// <summary>Runs a program in a host to its end; returns what it wrote to its standard output.</summary>
    public Task<string> ExecAsync(int host, string program, params string[] arguments)
    {
        var (script, all) = Enter(host, [program, .. arguments]);
        return Shell.RunAsync(script, all);
    }

    public Task<string> VirshAsync(int host, params string[] arguments) =>
        ExecAsync(host, "virsh", ["--quiet", "--connect", "qemu:///system", .. arguments]);

    /// <summary>libvirt's state of a domain; null where the host has none of that name.</summary>
    public async Task<string?> StateAsync(int host, string domain)
    {
        try
        {
            return (await VirshAsync(host, "domstate", domain)).Trim();
        }
        catch (InvalidOperationException gone) when (gone.Message.Contains("failed to get domain", StringComparison.Ordinal))
        {
            return null;
        }
    }

    /// <summary>Has a domain's QEMU carry out a monitor command.</summary>
    public async Task<JsonElement> MonitorAsync(int host, string domain, string command, object? arguments = null)
    {
        var json = JsonSerializer.Serialize(new { execute = command, arguments = arguments ?? new { } });
        return JsonDocument.Parse(await VirshAsync(host, "qemu-monitor-command", domain, json)).RootElement.GetProperty("return");
    }

    public async Task DefineAsync(int host, string domain, string xml)
    {
        var file = Path.Combine(Folder, $"{domain}.xml");
        await File.WriteAllTextAsync(file, xml);
        await VirshAsync(host, "define", file);
    }

    /// <summary>Ends a domain on whatever host it is, with the files and folders in <c>/srv</c> that are named after it.</summary>
    public async Task RemoveAsync(string domain)
    {
        foreach (var host in new[] { 1, 2 })
        {
            foreach (var command in new[] { "destroy", "undefine" })
                await ExecAsync(host, "sh", "-c", $"virsh --connect qemu:///system {command} '{domain}' || true");
            foreach (var file in Directory.EnumerateFiles(Srv(host), $"{domain}*"))
                File.Delete(file);
            foreach (var folder in Directory.EnumerateDirectories(Srv(host), $"{domain}*"))
                Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Connects a host to the other, or cuts it off.</summary>
    public Task LinkAsync(int host, bool up) =>
        Shell.RunAsync(Script, "link", Folder, host.ToString(CultureInfo.InvariantCulture), up ? "up" : "down");

    /// <summary>SIGKILL to the host's libvirtd; its domains run on.</summary>
    public async Task KillLibvirtdAsync(int host)
    {
        var pid = await File.ReadAllTextAsync(Path.Combine(Folder, Name(host), "run", "libvirtd.pid"));
        using var process = System.Diagnostics.Process.GetProcessById(int.Parse(pid, CultureInfo.InvariantCulture));
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Starts the host's libvirtd again, and waits until it answers.</summary>
    public Task StartLibvirtdAsync(int host) => Shell.RunAsync(Script, "libvirtd", Folder, host.ToString(CultureInfo.InvariantCulture));

    public async ValueTask DisposeAsync()
    {
        await Shell.RunAsync(Script, "stop", Folder);
        if (Directory.Exists(Folder))
            Directory.Delete(Folder, recursive: true);
    }

    private static string Name(int host) => $"h{host}";
}

/// <summary>Two hosts for all tests of a class; each has domains of its own. Started on first use.</summary>
public sealed class SharedTwoHosts : IAsyncDisposable
{
    private readonly Lazy<Task<TwoHosts>> _hosts = new(TwoHosts.StartAsync);

    internal Task<TwoHosts> StartedAsync() => _hosts.Value;

    public async ValueTask DisposeAsync()
    {
        if (_hosts.IsValueCreated && _hosts.Value.IsCompletedSuccessfully)
            await (await _hosts.Value).DisposeAsync();
    }
}
