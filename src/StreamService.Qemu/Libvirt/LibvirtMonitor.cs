using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamService.Qemu.Qmp;

namespace StreamService.Qemu.Libvirt;

/// <summary>QMP through libvirt, to a domain that it runs.</summary>
/// <remarks>Throws <see cref="LibvirtException"/> as well, where libvirt itself refuses or is out of reach.</remarks>
public sealed class LibvirtMonitor(LibvirtDomain domain) : IQmpMonitor
{
    /// <inheritdoc/>
    public async Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, IReadOnlyList<SafeHandle>? files, CancellationToken cancellationToken)
    {
        var json = QmpMessage.Command(command, arguments);
        var answer = files is { Count: > 0 }
            ? await domain.MonitorCommandWithFilesAsync(json, files, cancellationToken)
            : await domain.MonitorCommandAsync(json, cancellationToken);
        return QmpMessage.Result(command, answer);
    }
}
