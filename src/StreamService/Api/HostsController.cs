using Microsoft.AspNetCore.Mvc;
using StreamService.Fleet;
using StreamService.Hypervisors;
using StreamService.Security;

namespace StreamService.Api;

/// <summary>The configured hosts.</summary>
[ApiController]
[Route("hosts")]
public sealed class HostsController(VisibleHosts hosts, Caller caller, Drivers drivers, Peers peers) : ControllerBase
{
    /// <summary>All hosts, with the state of the connection to each, and the replica that drives it.</summary>
    [HttpGet]
    [ProducesResponseType<IReadOnlyList<HostView>>(StatusCodes.Status200OK, "application/json")]
    public async Task<IReadOnlyList<HostView>> ListAsync()
    {
        var told = (await peers.AskAllAsync<List<HostView>>(HttpContext)).SelectMany(list => list).ToLookup(host => host.Name);
        var own = hosts.All.Select(hypervisor => hypervisor.Info).ToDictionary(host => host.Name);
        if (Peers.IsMarked(Request))
            return [.. own.Values.Where(host => hosts.StandingOf(host.Name) == HostStanding.Here).Select(host => HostView.From(host, drivers.NameOf(host.Name)))];
        return
        [
            .. own.Keys.Concat(drivers.HostsElsewhere(own.Keys).Where(caller.Sees)).Select(name => (hosts.StandingOf(name), drivers.NameOf(name)) switch
            {
                (HostStanding.Here, var driver) => HostView.From(own[name], driver),
                (HostStanding.Elsewhere, var driver) => told[name].FirstOrDefault() ?? HostView.Silent(name, own.GetValueOrDefault(name)?.Uri ?? "", $"Replica {driver}, which drives it, does not answer.", driver),
                _ => HostView.Silent(name, own.GetValueOrDefault(name)?.Uri ?? "", HostTerms.NoDriver, null),
            }),
        ];
    }
}
