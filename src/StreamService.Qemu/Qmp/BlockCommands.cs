using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace StreamService.Qemu.Qmp;

/// <summary>
/// QEMU's block commands (qapi/block-core.json, block-export.json, job.json) with types. Errors are those of
/// <see cref="IQmpMonitor.ExecuteAsync"/>.
/// </summary>
/// <remarks>
/// query-named-block-nodes is not here: while a stream job is concluded and not dismissed it kills QEMU 7.2, and the
/// guest with it. See <see cref="NodeDetails"/> for the one place that may send it.
/// </remarks>
public static class BlockCommands
{
    /// <summary>All devices with their media.</summary>
    public static Task<IReadOnlyList<BlockDevice>> QueryBlockAsync(
        this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        monitor.QueryAsync<IReadOnlyList<BlockDevice>>("query-block", cancellationToken);

    /// <summary>How nodes hang together.</summary>
    public static Task<BlockGraph> QueryBlockGraphAsync(
        this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        monitor.QueryAsync<BlockGraph>("x-debug-query-block-graph", cancellationToken);

    /// <summary>All exports, those that shut down included.</summary>
    public static Task<IReadOnlyList<BlockExport>> QueryBlockExportsAsync(
        this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        monitor.QueryAsync<IReadOnlyList<BlockExport>>("query-block-exports", cancellationToken);

    /// <summary>All block jobs.</summary>
    public static Task<IReadOnlyList<BlockJob>> QueryBlockJobsAsync(
        this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        monitor.QueryAsync<IReadOnlyList<BlockJob>>("query-block-jobs", cancellationToken);

    /// <summary>All jobs; a concluded one stays with its error until it is dismissed.</summary>
    public static Task<IReadOnlyList<QemuJob>> QueryJobsAsync(
        this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        monitor.QueryAsync<IReadOnlyList<QemuJob>>("query-jobs", cancellationToken);

    /// <summary>What guests have done to each device.</summary>
    public static Task<IReadOnlyList<DeviceStats>> QueryBlockStatsAsync(
        this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        monitor.QueryAsync<IReadOnlyList<DeviceStats>>("query-blockstats", cancellationToken);

    /// <summary>Starts QEMU's only NBD server on a Unix socket that QEMU itself creates.</summary>
    /// <param name="maxConnections">0 for no limit; null for QEMU's default.</param>
    /// <exception cref="QmpCommandException">It runs already, or the socket cannot be made.</exception>
    public static Task NbdServerStartAsync(
        this IQmpMonitor monitor, string socketPath, int? maxConnections = null, CancellationToken cancellationToken = default) =>
        monitor.NbdServerStartAsync(
            new JsonObject { ["type"] = "unix", ["data"] = new JsonObject { ["path"] = socketPath } },
            maxConnections,
            cancellationToken);

    /// <summary>
    /// Starts QEMU's only NBD server on a socket that already listens, so that QEMU needs no right to any folder
    /// and the caller alone decides who can connect.
    /// </summary>
    /// <param name="listener">Bound and listening; QEMU gets a duplicate, the caller may close its own.</param>
    /// <param name="maxConnections">0 for no limit; null for QEMU's default.</param>
    /// <exception cref="QmpCommandException">The server runs already.</exception>
    public static async Task NbdServerStartAsync(
        this IQmpMonitor monitor, SafeHandle listener, int? maxConnections = null, CancellationToken cancellationToken = default)
    {
        // A letter first: QEMU takes a name that begins with a digit for a descriptor's number.
        var name = $"nbd-{Guid.NewGuid():N}";
        await monitor.ExecuteAsync("getfd", new JsonObject { ["fdname"] = name }, [listener], cancellationToken);
        try
        {
            await monitor.NbdServerStartAsync(
                new JsonObject { ["type"] = "fd", ["data"] = new JsonObject { ["str"] = name } },
                maxConnections,
                cancellationToken);
        }
        catch (QmpCommandException)
        {
            // Refused before QEMU took the file: it would stay open there under its name.
            await monitor.CloseFileAsync(name, cancellationToken);
            throw;
        }
    }

    /// <summary>Starts QEMU's only NBD server on a TCP port of its machine.</summary>
    /// <param name="tlsCredentials">Id of an object with a server's certificates; null for plain text.</param>
    /// <param name="maxConnections">0 for no limit; null for QEMU's default.</param>
    /// <exception cref="QmpCommandException">It runs already, or cannot listen there.</exception>
    public static Task NbdServerStartAsync(
        this IQmpMonitor monitor, IPEndPoint endPoint, string? tlsCredentials, int? maxConnections = null, CancellationToken cancellationToken = default) =>
        monitor.NbdServerStartAsync(
            new JsonObject
            {
                ["type"] = "inet",
                ["data"] = new JsonObject
                {
                    ["host"] = endPoint.Address.ToString(),
                    ["port"] = endPoint.Port.ToString(CultureInfo.InvariantCulture),
                },
            },
            maxConnections,
            cancellationToken,
            tlsCredentials);

    /// <summary>Stops QEMU's NBD server and with it all exports over it.</summary>
    public static Task NbdServerStopAsync(this IQmpMonitor monitor, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync("nbd-server-stop", null, null, cancellationToken);

    /// <summary>Exports a node over the NBD server.</summary>
    /// <param name="id">Of the export, for <see cref="BlockExportDelAsync"/>.</param>
    /// <param name="name">What NBD clients ask for.</param>
    /// <param name="writable">Refused for a node that a guest writes to.</param>
    /// <param name="allocationDepth">Offer the context qemu:allocation-depth.</param>
    /// <param name="bitmap">Offer this bitmap of the node as context too: one that records nothing.</param>
    public static Task BlockExportAddAsync(
        this IQmpMonitor monitor,
        string id,
        string nodeName,
        string name,
        bool writable = false,
        bool allocationDepth = true,
        string? bitmap = null,
        CancellationToken cancellationToken = default)
    {
        var arguments = new JsonObject
        {
            ["type"] = "nbd",
            ["id"] = id,
            ["node-name"] = nodeName,
            ["name"] = name,
            ["writable"] = writable,
            ["allocation-depth"] = allocationDepth,
        };
        if (bitmap is not null)
            arguments["bitmaps"] = new JsonArray(bitmap);
        return monitor.ExecuteAsync("block-export-add", arguments, null, cancellationToken);
    }

    /// <summary>Takes an export back. It is gone once query-block-exports no longer lists it.</summary>
    /// <param name="hard">Also with clients connected; otherwise that is refused.</param>
    public static Task BlockExportDelAsync(
        this IQmpMonitor monitor, string id, bool hard, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync(
            "block-export-del",
            new JsonObject { ["id"] = id, ["mode"] = hard ? "hard" : "safe" },
            null,
            cancellationToken);

    private static Task<JsonElement> NbdServerStartAsync(
        this IQmpMonitor monitor, JsonObject address, int? maxConnections, CancellationToken cancellationToken, string? tlsCredentials = null)
    {
        var arguments = new JsonObject { ["addr"] = address };
        if (tlsCredentials is not null)
            arguments["tls-creds"] = tlsCredentials;
        if (maxConnections is { } limit)
            arguments["max-connections"] = limit;
        return monitor.ExecuteAsync("nbd-server-start", arguments, null, cancellationToken);
    }

    private static async Task CloseFileAsync(this IQmpMonitor monitor, string name, CancellationToken cancellationToken)
    {
        try
        {
            await monitor.ExecuteAsync("closefd", new JsonObject { ["fdname"] = name }, null, cancellationToken);
        }
        catch (QmpCommandException)
        {
            // QEMU had taken it after all.
        }
    }

    private static async Task<T> QueryAsync<T>(this IQmpMonitor monitor, string command, CancellationToken cancellationToken)
    {
        JsonElement result = await monitor.ExecuteAsync(command, null, null, cancellationToken);
        return QmpMessage.Read<T>(command, result);
    }
}
