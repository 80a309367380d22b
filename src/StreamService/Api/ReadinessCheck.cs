using Microsoft.Extensions.Diagnostics.HealthChecks;
using StreamService.Hypervisors;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>
/// Ready: the database answers. A host that cannot be reached does not make the service unready: it would take the service
/// away from all other hosts' callers; the answer names it.
/// </summary>
public sealed class ReadinessCheck(StreamStore store, HostDirectory hosts) : IHealthCheck
{
    public const string Tag = "ready";

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var states = hosts.All.ToDictionary(hypervisor => hypervisor.Info.Name, hypervisor => (object)hypervisor.Info.State.ToString());
        return await store.AnswersAsync(cancellationToken)
            ? HealthCheckResult.Healthy("The database answers.", states)
            : HealthCheckResult.Unhealthy("The database does not answer.", data: states);
    }

    public static Task WriteAsync(HttpContext context, HealthReport report) => context.Response.WriteAsJsonAsync(new
    {
        status = report.Status.ToString(),
        detail = report.Entries.Values.Select(entry => entry.Description).FirstOrDefault(),
        hosts = report.Entries.Values.SelectMany(entry => entry.Data).ToDictionary(host => host.Key, host => host.Value.ToString()!.ToLowerInvariant()),
    });
}
