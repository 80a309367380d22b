using Microsoft.Extensions.Options;
using StreamService.Configuration;

namespace StreamService.Hypervisors;

/// <summary>Makes the hypervisor that a host's URI names.</summary>
public sealed class HypervisorFactory(IOptions<StreamServiceOptions> options, TimeProvider time, ILoggerFactory loggers)
{
    public IReadOnlyList<IHypervisor> CreateAll()
    {
        var runtimeDirectory = PrepareRuntimeDirectory(options.Value.RuntimeDirectory);
        return [.. options.Value.Hosts.Select(host => Create(host, runtimeDirectory))];
    }

    private IHypervisor Create(Configuration.HostOptions host, string runtimeDirectory) => QmpHypervisor.Takes(new Uri(host.Uri), out _)
        ? new QmpHypervisor(host.Name, host.Uri, runtimeDirectory, time, loggers.CreateLogger<QmpHypervisor>())
        : new LibvirtHypervisor(host.Name, host.Uri, runtimeDirectory, time, loggers.CreateLogger<LibvirtHypervisor>());

    private static string PrepareRuntimeDirectory(string configured)
    {
        var folder = configured.Length > 0 ? configured
            : Environment.IsPrivilegedProcess ? "/run/streamservice"
            : Path.Combine(Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") ?? Path.GetTempPath(), "streamservice");
        // Whoever reaches a socket in it reads the disks of guests.
        const UnixFileMode ownerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Directory.CreateDirectory(folder, ownerOnly);
        File.SetUnixFileMode(folder, ownerOnly);
        return folder;
    }
}
