using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace StreamService.Qemu.Qmp;

/// <summary>A way to send QMP commands to one QEMU: its own socket, or libvirt's.</summary>
public interface IQmpMonitor
{
    /// <summary>Sends a command and waits for its answer.</summary>
    /// <param name="arguments">Not changed; null for none.</param>
    /// <param name="files">Open files that go along (SCM_RIGHTS), for getfd; they stay the caller's.</param>
    /// <returns>The value of "return".</returns>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpException">The link broke, or what came is no QMP. A monitor behind another
    /// service throws that service's exception for the link.</exception>
    Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, IReadOnlyList<SafeHandle>? files, CancellationToken cancellationToken);
}
