using Microsoft.AspNetCore.Mvc;
using StreamService.Security;

namespace StreamService.Api;

/// <summary>The configured hosts.</summary>
[ApiController]
[Route("hosts")]
public sealed class HostsController(VisibleHosts hosts) : ControllerBase
{
    /// <summary>All hosts, with the state of the connection to each.</summary>
    [HttpGet]
    [ProducesResponseType<IReadOnlyList<HostView>>(StatusCodes.Status200OK, "application/json")]
    public IReadOnlyList<HostView> List() => [.. hosts.All.Select(hypervisor => HostView.From(hypervisor.Info))];
}
