using System.Text.Json;

namespace StreamService.Qemu.Qmp;

/// <summary>The layer of a guest device that its writes go to, and what lies below it.</summary>
/// <param name="Device">The device as query-block tells it.</param>
/// <param name="NodeName">The node to export and to stream into: below copy-on-read, throttle and jobs' own filters.</param>
/// <param name="Chain">Node names from <paramref name="NodeName"/> down the backing links, filters left out; one name
/// alone where there is no backing image.</param>
public sealed record ActiveLayer(BlockDevice Device, string NodeName, IReadOnlyList<string> Chain)
{
    /// <summary>
    /// Drivers whose "file" child has the same contents (is_filter in QEMU's block drivers). Those of mirror and commit
    /// jobs are told from the graph instead.
    /// </summary>
    private static readonly HashSet<string> FilterDrivers =
    [
        "copy-on-read", "throttle", "compress", "preallocate", "copy-before-write", "blkdebug", "blklogwrites", "blkreplay",
    ];

    /// <summary>Finds the active layer of a device.</summary>
    /// <param name="devices">The answer of query-block.</param>
    /// <param name="graph">The answer of x-debug-query-block-graph.</param>
    /// <param name="alias">libvirt's alias of the disk, or the device's id: a whole segment of its qdev path.</param>
    /// <returns>null where no device has that alias, its drive is empty, or the graph does not (any longer) know its node.</returns>
    public static ActiveLayer? Find(IReadOnlyList<BlockDevice> devices, BlockGraph graph, string alias)
    {
        return devices.FirstOrDefault(device => device.HasAlias(alias)) is { } found ? Find(found, graph) : null;
    }

    /// <summary>The active layer of a device.</summary>
    /// <returns>null where its drive is empty, or the graph does not (any longer) know its node.</returns>
    public static ActiveLayer? Find(BlockDevice device, BlockGraph graph) =>
        device.Inserted is { NodeName: { } top } inserted && ChainBelow(graph, top, FiltersOnTop(inserted)) is [var first, ..] chain
            ? new ActiveLayer(device, first, chain)
            : null;

    /// <summary>Node names from the first overlay at or below a node down the backing links, filters left out.</summary>
    /// <param name="filters">How many filters with a file child are known to stand on top.</param>
    /// <returns>The node alone where no overlay is there; nothing where the graph does not know the node.</returns>
    public static IReadOnlyList<string> ChainBelow(BlockGraph graph, string top, int filters = 0)
    {
        var walk = new Walk(graph);
        var chain = new List<string>();
        if (walk.IdOf(top) is not { } start)
            return chain;
        var seen = new HashSet<long>();
        long? at = walk.Layer(start, filters);
        while (at is { } id && seen.Add(id))
        {
            chain.Add(walk.NameOf(id));
            at = walk.Backing(id) is { } below ? walk.Layer(below, filters: 0) : null;
        }

        return chain;
    }

    /// <summary>Whether a driver's contents are those of its child.</summary>
    public static bool IsFilter(string driver) => FilterDrivers.Contains(driver) || driver is "mirror_top" or "commit_top";

    /// <summary>
    /// How many filters stand on top of each other, as far as the file name tells: where QEMU writes it as json: it
    /// names every driver on the way.
    /// </summary>
    private static int FiltersOnTop(InsertedNode inserted)
    {
        if (!FilterDrivers.Contains(inserted.Driver))
            return 0;
        if (inserted.File is not { } file || !file.StartsWith("json:", StringComparison.Ordinal))
            return 1;
        try
        {
            using var document = JsonDocument.Parse(file.AsMemory(5), new JsonDocumentOptions { MaxDepth = 1024 });
            var count = 0;
            var node = document.RootElement;
            while (node.ValueKind == JsonValueKind.Object
                   && node.TryGetProperty("driver", out var driver)
                   && driver.ValueKind == JsonValueKind.String
                   && FilterDrivers.Contains(driver.GetString() ?? "")
                   && node.TryGetProperty("file", out var below))
            {
                count++;
                node = below;
            }

            return Math.Max(count, 1);
        }
        catch (Exception unreadable) when (unreadable is JsonException or InvalidOperationException)
        {
            // No JSON, or text in it that is not Unicode.
            return 1;
        }
    }

    /// <summary>The graph by id and role.</summary>
    private sealed class Walk
    {
        private readonly Dictionary<long, string> _names;
        private readonly Dictionary<(long Parent, string Role), long> _children = [];

        public Walk(BlockGraph graph)
        {
            _names = graph.Nodes.Where(node => node.Type == "block-driver")
                .DistinctBy(node => node.Id)
                .ToDictionary(node => node.Id, node => node.Name);
            foreach (var edge in graph.Edges)
                _children.TryAdd((edge.Parent, edge.Name), edge.Child);
        }

        public long? IdOf(string name)
        {
            foreach (var (id, known) in _names)
            {
                if (known == name)
                    return id;
            }

            return null;
        }

        public string NameOf(long id) => _names.GetValueOrDefault(id, "");

        public long? Backing(long id) => Child(id, "backing");

        /// <summary>
        /// What stands at <paramref name="id"/>'s place in the chain: the first overlay at or below it, one with a file
        /// and a backing child; or, where there is none, the image below so many filters.
        /// </summary>
        public long Layer(long id, int filters)
        {
            var seen = new HashSet<long>();
            for (long? at = id; at is { } node && seen.Add(node); at = Child(node, "file") ?? Backing(node))
            {
                if (Child(node, "file") is not null && Backing(node) is not null)
                    return node;
            }

            // Nothing but names tells a filter with a file child from a format, hence the number.
            id = PastJobFilters(id);
            for (; filters > 0 && Child(id, "file") is { } below; filters--)
                id = PastJobFilters(below);
            return id;
        }

        /// <summary>The filter of a mirror or commit job is the only kind of node with a backing child and no file.</summary>
        private long PastJobFilters(long id)
        {
            for (var i = 0; i < _names.Count && Child(id, "file") is null && Backing(id) is { } below; i++)
                id = below;
            return id;
        }

        private long? Child(long parent, string role) =>
            _children.TryGetValue((parent, role), out var child) ? child : null;
    }
}
