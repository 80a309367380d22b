using System.Text.Json;
using StreamService.Qemu.Qmp;

namespace StreamService.Tests.Qmp;

public sealed class ActiveLayerTests
{
    [Fact]
    public void Below_copy_on_read_stands_the_overlay_with_its_chain()
    {
        var layer = Find(Captured.LibvirtBlock, Captured.LibvirtGraph, "virtio-disk0");

        Assert.Equal("libvirt-1-format", layer?.NodeName);
        Assert.Equal(["libvirt-1-format", "libvirt-2-format", "libvirt-3-format"], layer?.Chain);
        Assert.Equal("libvirt-CoR-vda", layer?.Device.Inserted?.NodeName);
    }

    [Theory]
    [InlineData("scsi0-0-0-0", "fmt0", 3)] // throttle, then copy-on-read; the device's id alone
    [InlineData("ide0-0-0", "fmt1", 1)] // the same filters, no backing image
    [InlineData("usb-disk0", "fmt2", 3)] // the alias is a segment in the middle; a stream job's filter on top
    [InlineData("virtio-disk3", "fmt3", 3)] // a mirror job's filter, whose only child is "backing"
    public void Filters_are_passed_on_every_bus(string alias, string nodeName, int layers)
    {
        var layer = Find(Captured.MixedBlock, Captured.MixedGraph, alias);

        Assert.Equal(nodeName, layer?.NodeName);
        Assert.Equal(layers, layer?.Chain.Count);
    }

    [Theory]
    [InlineData("virtio-disk")] // no whole segment
    [InlineData("virtio-disk30")]
    [InlineData("ide0-1-0")] // an empty drive
    [InlineData("")]
    public void What_is_not_there_is_not_found(string alias)
    {
        Assert.Null(Find(Captured.MixedBlock, Captured.MixedGraph, alias));
    }

    [Fact]
    public void A_node_that_the_graph_no_longer_knows_is_not_found()
    {
        Assert.Null(Find(Captured.LibvirtBlock, Captured.MixedGraph, "virtio-disk0"));
    }

    [Fact]
    public void A_raw_disk_without_filters_is_its_own_active_layer()
    {
        var layer = ActiveLayer.Find(
            [Device("vda", "fmt", "raw")],
            Graph(["fmt", "sto"], (0, 1, "file")),
            "vda");

        Assert.Equal(["fmt"], layer?.Chain);
    }

    [Fact]
    public void A_mirror_filter_above_a_lone_image_is_passed()
    {
        var layer = ActiveLayer.Find(
            [Device("vda", "top", "mirror_top")],
            Graph(["top", "fmt", "sto"], (0, 1, "backing"), (1, 2, "file")),
            "vda");

        Assert.Equal(["fmt"], layer?.Chain);
    }

    [Fact]
    public void A_filter_between_two_layers_is_left_out_of_the_chain()
    {
        // A commit below the active layer puts its filter there.
        var layer = ActiveLayer.Find(
            [Device("vda", "fmt", "qcow2")],
            Graph(
                ["fmt", "sto", "commit", "mid", "mid-sto", "base", "base-sto"],
                (0, 1, "file"), (0, 2, "backing"), (2, 3, "backing"),
                (3, 4, "file"), (3, 5, "backing"), (5, 6, "file")),
            "vda");

        Assert.Equal(["fmt", "mid", "base"], layer?.Chain);
    }

    [Fact]
    public void A_job_filter_above_the_last_image_is_left_out_of_the_chain()
    {
        var layer = ActiveLayer.Find(
            [Device("vda", "fmt", "qcow2")],
            Graph(["fmt", "sto", "commit", "base", "base-sto"], (0, 1, "file"), (0, 2, "backing"), (2, 3, "backing"), (3, 4, "file")),
            "vda");

        Assert.Equal(["fmt", "base"], layer?.Chain);
    }

    [Fact]
    public void Filters_that_run_in_a_circle_end()
    {
        var layer = ActiveLayer.Find(
            [Device("vda", "a", "mirror_top")], Graph(["a", "b"], (0, 1, "backing"), (1, 0, "backing")), "vda");

        Assert.NotNull(layer);
    }

    [Fact]
    public void A_graph_that_runs_in_a_circle_ends()
    {
        var layer = ActiveLayer.Find(
            [Device("vda", "a", "qcow2")],
            Graph(["a", "b", "s"], (0, 2, "file"), (0, 1, "backing"), (1, 2, "file"), (1, 0, "backing")),
            "vda");

        Assert.Equal(["a", "b"], layer?.Chain);
    }

    private static ActiveLayer? Find(string devices, string graph, string alias) => ActiveLayer.Find(
        QmpMessage.Read<IReadOnlyList<BlockDevice>>("query-block", JsonElement.Parse(devices)),
        QmpMessage.Read<BlockGraph>("x-debug-query-block-graph", JsonElement.Parse(graph)),
        alias);

    private static BlockDevice Device(string qdev, string nodeName, string driver) =>
        new("", qdev, Inserted: new InsertedNode(driver, false, new BlockImage("f", driver, 1), nodeName, "f"));

    private static BlockGraph Graph(string[] names, params (long Parent, long Child, string Role)[] edges) => new(
        [.. names.Select((name, id) => new BlockGraphNode(id, "block-driver", name))],
        [.. edges.Select(edge => new BlockGraphEdge(edge.Parent, edge.Child, edge.Role))]);
}
