using System.Text.Json.Serialization;

namespace StreamService.Qemu.Qmp;

/// <summary>One device of query-block (BlockInfo of QEMU's qapi/block-core.json).</summary>
/// <param name="Device">The backend's name; empty where node names are used.</param>
/// <param name="Qdev">The guest device's id or its path in QEMU's object tree.</param>
/// <param name="Inserted">The medium; null in an empty drive.</param>
/// <param name="IoStatus">ok, failed or nospace; null where the device does not tell.</param>
public sealed record BlockDevice(
    string Device,
    string? Qdev = null,
    bool Removable = false,
    InsertedNode? Inserted = null,
    string? IoStatus = null)
{
    /// <summary>Whether this is libvirt's alias of the device, or its id: a whole segment of the path.</summary>
    public bool HasAlias(string alias) => Qdev is { } path && path.Split('/', StringSplitOptions.RemoveEmptyEntries).Contains(alias);
}

/// <summary>The node a device reads from (BlockDeviceInfo).</summary>
/// <param name="Driver">qcow2, raw, or a filter's, such as copy-on-read.</param>
/// <param name="File">The file name QEMU makes of the node; a "json:" text where no shorter form tells all.</param>
public sealed record InsertedNode(
    [property: JsonPropertyName("drv")] string Driver,
    [property: JsonPropertyName("ro")] bool ReadOnly,
    BlockImage Image,
    string? NodeName = null,
    string? File = null);

/// <summary>An image and those below it (ImageInfo); sizes in bytes.</summary>
/// <param name="ActualSize">What it takes on the host; null where that cannot be told.</param>
/// <param name="BackingFilename">As the image's header has it.</param>
/// <param name="BackingImage">What a filter stands on, too; null at the bottom.</param>
public sealed record BlockImage(
    string Filename,
    string Format,
    long VirtualSize,
    long? ActualSize = null,
    long? ClusterSize = null,
    string? BackingFilename = null,
    string? FullBackingFilename = null,
    string? BackingFilenameFormat = null,
    BlockImage? BackingImage = null);

/// <summary>x-debug-query-block-graph (XDbgBlockGraph): safe at any time, unlike query-named-block-nodes.</summary>
public sealed record BlockGraph(IReadOnlyList<BlockGraphNode> Nodes, IReadOnlyList<BlockGraphEdge> Edges);

/// <summary>A node of the graph.</summary>
/// <param name="Type">block-driver, block-backend or block-job.</param>
/// <param name="Name">A block-driver's node name.</param>
public sealed record BlockGraphNode(long Id, string Type, string Name);

/// <summary>An edge of the graph, between node ids.</summary>
/// <param name="Name">The child's role: file, backing, root, ...</param>
public sealed record BlockGraphEdge(long Parent, long Child, string Name);

/// <summary>One export of query-block-exports (BlockExportInfo).</summary>
public sealed record BlockExport(string Id, string Type, string NodeName, bool ShuttingDown);

/// <summary>One job of query-block-jobs (BlockJobInfo).</summary>
/// <param name="Device">The job's id, or the device it is named after.</param>
/// <param name="Len">Where it will be done.</param>
/// <param name="Offset">Where it is. Equal to <paramref name="Len"/> is not yet success: see <paramref name="Error"/>.</param>
/// <param name="Speed">Bytes per second; 0 for no limit.</param>
/// <param name="Status">JobStatus: created, running, paused, ready, standby, waiting, pending, aborting, concluded, null.</param>
public sealed record BlockJob(
    string Type,
    string Device,
    long Len,
    long Offset,
    bool Busy,
    bool Paused,
    long Speed,
    string IoStatus,
    bool Ready,
    string Status,
    bool AutoFinalize = true,
    bool AutoDismiss = true,
    string? Error = null);

/// <summary>One job of query-jobs (JobInfo).</summary>
/// <param name="Error">Why it failed; null while it runs and where it did not.</param>
public sealed record QemuJob(
    string Id,
    string Type,
    string Status,
    long CurrentProgress,
    long TotalProgress,
    string? Error = null);

/// <summary>One device of query-blockstats (BlockStats).</summary>
public sealed record DeviceStats(DeviceTotals Stats, string? Device = null, string? Qdev = null, string? NodeName = null);

/// <summary>Totals since QEMU's start (BlockDeviceStats).</summary>
/// <param name="IdleNanoseconds">Since the guest's last request; null before the first.</param>
public sealed record DeviceTotals(
    [property: JsonPropertyName("rd_bytes")] long ReadBytes,
    [property: JsonPropertyName("rd_operations")] long ReadOperations,
    [property: JsonPropertyName("rd_total_time_ns")] long ReadNanoseconds,
    [property: JsonPropertyName("wr_bytes")] long WriteBytes,
    [property: JsonPropertyName("wr_operations")] long WriteOperations,
    [property: JsonPropertyName("wr_total_time_ns")] long WriteNanoseconds,
    [property: JsonPropertyName("flush_operations")] long FlushOperations,
    [property: JsonPropertyName("flush_total_time_ns")] long FlushNanoseconds,
    [property: JsonPropertyName("idle_time_ns")] long? IdleNanoseconds = null);
