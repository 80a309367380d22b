using Microsoft.Extensions.Diagnostics.HealthChecks;
using StreamService.Hypervisors;
using StreamService.Security;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>
/// Ready: the database answers. A host that cannot be reached does not make the service unready: it would take the service
/// away from all other hosts' callers; the answer names it.
/// </summary>
public sealed class ReadinessCheck(StreamDatabase database, HostDirectory hosts) : IHealthCheck
{
    public const string Tag = "ready";

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var states = hosts.All.Where(hypervisor => hosts.StandingOf(hypervisor.Info.Name) == HostStanding.Here).ToDictionary(hypervisor => hypervisor.Info.Name, hypervisor => (object)hypervisor.Info.State.ToString());
        return await database.AnswersAsync(cancellationToken)
            ? HealthCheckResult.Healthy("The database answers.", states)
            : HealthCheckResult.Unhealthy("The database does not answer.", data: states);
    }

    /// <summary>Anybody is told whether it is ready; who may look at the hosts, of these too.</summary>
    public static Task WriteAsync(HttpContext context, HealthReport report)
    {
        var caller = Caller.Of(context.User);
        return context.Response.WriteAsJsonAsync(new
        {
            status = report.Status.ToString(),
            detail = report.Entries.Values.Select(entry => entry.Description).FirstOrDefault(),
            hosts = !caller.May(Scopes.StreamsRead) ? null : report.Entries.Values.SelectMany(entry => entry.Data)
                .Where(host => caller.Sees(host.Key)).ToDictionary(host => host.Key, host => host.Value.ToString()!.ToLowerInvariant()),
        });
    }
}
