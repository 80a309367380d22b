using System.Text.Json;
using System.Text.Json.Nodes;

namespace StreamService.Qemu.Qmp;

/// <summary>What a QEMU says of itself. Errors are those of <see cref="IQmpMonitor.ExecuteAsync"/>.</summary>
public static class MachineCommands
{
    /// <summary>What this QEMU knows, in its own words (query-qmp-schema): version numbers do not tell what was built in.</summary>
    public static async Task<QemuCapabilities> QueryCapabilitiesAsync(this IQmpMonitor monitor, CancellationToken cancellationToken = default)
    {
        var schema = await monitor.ExecuteAsync("query-qmp-schema", null, null, cancellationToken);
        return QmpMessage.Understand("query-qmp-schema", () => Capabilities(schema));
    }

    private static QemuCapabilities Capabilities(JsonElement schema)
    {
        var commands = new HashSet<string>();
        var allocationDepth = false;
        foreach (var entity in schema.ValueKind == JsonValueKind.Array ? schema.EnumerateArray() : default)
        {
            if (entity.ValueKind != JsonValueKind.Object || !entity.TryGetProperty("meta-type", out var kind))
                continue;
            if (kind.ValueEquals("command") && entity.TryGetProperty("name", out var name))
                commands.Add(name.GetString() ?? "");
            // The schema hides the names of types; no other type has a member of this name.
            else if (kind.ValueEquals("object") && entity.TryGetProperty("members", out var members))
                allocationDepth |= members.EnumerateArray().Any(member => member.TryGetProperty("name", out var text) && text.ValueEquals("allocation-depth"));
        }
        return new QemuCapabilities(commands, allocationDepth);
    }

    /// <summary>All that query-version tells, as it stands: version and package, which name one build.</summary>
    public static async Task<string> QueryBuildAsync(this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        (await monitor.ExecuteAsync("query-version", null, null, cancellationToken)).GetRawText();

    /// <summary>The name given with -name; null where there is none.</summary>
    public static async Task<string?> QueryNameAsync(this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        Text("query-name", await monitor.ExecuteAsync("query-name", null, null, cancellationToken), "name");

    /// <summary>The UUID given with -uuid; null where there is none.</summary>
    public static async Task<Guid?> QueryUuidAsync(this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        Guid.TryParse(Text("query-uuid", await monitor.ExecuteAsync("query-uuid", null, null, cancellationToken), "UUID"), out var uuid) && uuid != Guid.Empty ? uuid : null;

    /// <summary>RunState (qapi/run-state.json): running, paused, prelaunch, shutdown, suspended, ...</summary>
    public static async Task<string> QueryStatusAsync(this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        Text("query-status", await monitor.ExecuteAsync("query-status", null, null, cancellationToken), "status") ?? "";

    /// <summary>Makes an object of QEMU's own.</summary>
    /// <param name="properties">ObjectOptions of qapi/qom.json: qom-type, id, and what belongs to the type.</param>
    /// <exception cref="QmpCommandException">There is one of that id, or QEMU cannot make it.</exception>
    public static Task ObjectAddAsync(this IQmpMonitor monitor, JsonObject properties, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync("object-add", properties, null, cancellationToken);

    /// <summary>Removes an object.</summary>
    /// <exception cref="QmpCommandException">There is none of that id, or it is in use.</exception>
    public static Task ObjectDelAsync(this IQmpMonitor monitor, string id, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync("object-del", new() { ["id"] = id }, null, cancellationToken);

    /// <summary>Runs a command of the human monitor.</summary>
    /// <returns>What it would have shown.</returns>
    public static async Task<string> HumanMonitorAsync(this IQmpMonitor monitor, string commandLine, CancellationToken cancellationToken = default) =>
        (await monitor.ExecuteAsync("human-monitor-command", new() { ["command-line"] = commandLine }, null, cancellationToken)) is { ValueKind: JsonValueKind.String } text
            ? QmpMessage.Understand("human-monitor-command", text.GetString) ?? ""
            : "";

    /// <summary>
    /// Has QEMU flush a guest device's medium, through the human monitor's qemu-io. QEMU 7.2 drops the command's result:
    /// whether it failed cannot be told.
    /// </summary>
    public static Task<string> FlushDeviceAsync(this IQmpMonitor monitor, BlockDevice device, CancellationToken cancellationToken = default) =>
        monitor.HumanMonitorAsync(device.Qdev is { } path ? $"qemu-io -d {path} flush" : $"qemu-io {device.Device} flush", cancellationToken);

    private static string? Text(string command, JsonElement result, string member) =>
        QmpMessage.Understand(command, () =>
            result.ValueKind == JsonValueKind.Object && result.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null);
}

/// <summary>What a QEMU can do.</summary>
/// <param name="Commands">All its commands.</param>
/// <param name="AllocationDepth">An export can offer the context qemu:allocation-depth (since QEMU 5.2).</param>
public sealed record QemuCapabilities(IReadOnlySet<string> Commands, bool AllocationDepth)
{
    /// <summary>It takes open files; qemu-storage-daemon does not.</summary>
    public bool TakesFiles => Commands.Contains("getfd");

    /// <summary>It has guest devices, so it is a QEMU and not a qemu-storage-daemon.</summary>
    public bool HasMachine => Commands.Contains("query-status");
}
