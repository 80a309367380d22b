using Microsoft.AspNetCore.Mvc;
using StreamService.Hypervisors;

namespace StreamService.Api;

/// <summary>The configured hosts.</summary>
[ApiController]
[Route("hosts")]
[Produces("application/json")]
public sealed class HostsController(HostDirectory hosts) : ControllerBase
{
    /// <summary>All hosts, with the state of the connection to each.</summary>
    [HttpGet]
    public IReadOnlyList<HostView> List() => [.. hosts.All.Select(hypervisor => HostView.From(hypervisor.Info))];
}
