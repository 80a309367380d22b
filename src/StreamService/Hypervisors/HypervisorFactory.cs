using Microsoft.Extensions.Options;
using StreamService.Configuration;

namespace StreamService.Hypervisors;

/// <summary>Makes the hypervisor that a host's URI names.</summary>
public sealed class HypervisorFactory(IOptions<StreamServiceOptions> options, TimeProvider time, ILoggerFactory loggers)
{
    public IReadOnlyList<IHypervisor> CreateAll()
    {
        var runtimeDirectory = RuntimeDirectory.Prepare(options.Value.RuntimeDirectory);
        return [.. options.Value.Hosts.Select(host => Create(host, runtimeDirectory))];
    }

    private IHypervisor Create(Configuration.HostOptions host, string runtimeDirectory) => QmpHypervisor.Takes(new Uri(host.Uri), out _)
        ? new QmpHypervisor(host.Name, host.Uri, runtimeDirectory, time, loggers.CreateLogger<QmpHypervisor>(), shared: options.Value.Storage.IsPostgreSql)
        : new LibvirtHypervisor(host.Name, host.Uri, host.MigrationAddress.Length > 0 ? host.MigrationAddress : null, runtimeDirectory, options.Value.Migration, time, loggers.CreateLogger<LibvirtHypervisor>(),
            shared: options.Value.Storage.IsPostgreSql);
}
