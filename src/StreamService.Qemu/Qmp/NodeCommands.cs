using System.Text.Json.Nodes;

namespace StreamService.Qemu.Qmp;

/// <summary>Commands on single nodes of QEMU's block layer (qapi/block-core.json). Errors are those of <see cref="IQmpMonitor.ExecuteAsync"/>.</summary>
public static class NodeCommands
{
    /// <summary>Adds a node.</summary>
    /// <param name="options">BlockdevOptions, with the node's name.</param>
    public static Task BlockdevAddAsync(this IQmpMonitor monitor, JsonObject options, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync("blockdev-add", options, null, cancellationToken);

    /// <summary>Removes a node that nothing uses.</summary>
    public static Task BlockdevDelAsync(this IQmpMonitor monitor, string nodeName, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync("blockdev-del", new JsonObject { ["node-name"] = nodeName }, null, cancellationToken);

    /// <summary>Puts a read-only raw node on another node, under the guest's requests. Since QEMU 6.1.</summary>
    /// <param name="nodeName">The raw node.</param>
    /// <param name="file">What it reads from now on.</param>
    public static Task ReopenRawAsync(this IQmpMonitor monitor, string nodeName, string file, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync(
            "blockdev-reopen",
            new JsonObject
            {
                ["options"] = new JsonArray(new JsonObject { ["driver"] = "raw", ["node-name"] = nodeName, ["read-only"] = true, ["file"] = file }),
            },
            null,
            cancellationToken);

    /// <summary>Begins to record in a bitmap in QEMU's memory what is written to a node by whoever uses it. What copy-on-read and streams bring in is no write.</summary>
    /// <param name="granularity">Bytes that one bit stands for.</param>
    /// <param name="disabled">Records nothing: a bitmap to merge others into.</param>
    public static Task DirtyBitmapAddAsync(
        this IQmpMonitor monitor, string nodeName, string name, int granularity, bool disabled, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync(
            "block-dirty-bitmap-add",
            new JsonObject { ["node"] = nodeName, ["name"] = name, ["granularity"] = granularity, ["persistent"] = false, ["disabled"] = disabled },
            null,
            cancellationToken);

    /// <summary>Adds to one bitmap of a node what another holds.</summary>
    public static Task DirtyBitmapMergeAsync(
        this IQmpMonitor monitor, string nodeName, string target, string source, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync(
            "block-dirty-bitmap-merge",
            new JsonObject { ["node"] = nodeName, ["target"] = target, ["bitmaps"] = new JsonArray(source) },
            null,
            cancellationToken);

    /// <summary>Removes a bitmap.</summary>
    public static Task DirtyBitmapRemoveAsync(
        this IQmpMonitor monitor, string nodeName, string name, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync("block-dirty-bitmap-remove", new JsonObject { ["node"] = nodeName, ["name"] = name }, null, cancellationToken);
}
