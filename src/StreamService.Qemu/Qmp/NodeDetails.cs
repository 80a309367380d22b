using System.Text.Json.Nodes;

namespace StreamService.Qemu.Qmp;

/// <summary>
/// What the nodes of a qemu-storage-daemon are: the one thing that only query-named-block-nodes tells, because without
/// guest devices query-block is empty.
/// </summary>
/// <remarks>
/// query-named-block-nodes kills QEMU 7.2 while a stream job is concluded and not dismissed: such a job holds on to a
/// filter node that has no child any more. So it is sent only after query-jobs said that there is no job at all. That
/// leaves the moment between the two commands, in which only a job counts that begins, ends, and is kept as concluded:
/// one of ours cannot, because the caller begins none meanwhile; another client's cannot over this monitor, which has us
/// as its only client. And it is sent rarely: once for the nodes that a daemon has, not again when a stream is over,
/// since what is known of a node stays true when its backing link changes (links are told by the graph).
/// </remarks>
public static class NodeDetails
{
    /// <summary>Asks for all nodes.</summary>
    /// <returns>By node name; null where a job exists, so that it must not be asked.</returns>
    /// <remarks>The caller makes sure that no job of its own begins before this returns.</remarks>
    public static async Task<IReadOnlyDictionary<string, InsertedNode>?> TryQueryAsync(IQmpMonitor monitor, CancellationToken cancellationToken)
    {
        if ((await monitor.QueryJobsAsync(cancellationToken)).Count > 0)
            return null;
        // Flat: without what lies below each node, which is a node itself.
        var answer = await monitor.ExecuteAsync("query-named-block-nodes", new JsonObject { ["flat"] = true }, null, cancellationToken);
        return QmpMessage.Read<IReadOnlyList<InsertedNode>>("query-named-block-nodes", answer)
            .Where(node => node.NodeName is not null)
            .DistinctBy(node => node.NodeName)
            .ToDictionary(node => node.NodeName!);
    }
}
