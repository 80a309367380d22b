using StreamService.Hypervisors;

namespace StreamService.Tests.Hypervisors;

public sealed class DiskInfoTests
{
    internal static DiskInfo Disk(bool readOnly = false, params string[] chain) =>
        new("vda", "/top.qcow2", "qcow2", 1 << 30, 64 << 10, [.. chain.Select(source => new ChainImage(source, "raw"))], readOnly, Streamable: true);

    [Fact]
    public void Depth_is_counted_from_the_active_layer_which_is_1()
    {
        var disk = Disk(chain: ["/middle", "/base"]);
        Assert.Equal(2, disk.DepthOf("/middle"));
        Assert.Equal(3, disk.DepthOf("/base"));
        Assert.Equal(int.MaxValue, disk.DepthOf(null));
        Assert.Null(disk.DepthOf("/top.qcow2"));
        Assert.Null(disk.DepthOf("middle"));
        Assert.Null(disk.DepthOf(""));
        Assert.Equal(int.MaxValue, Disk().DepthOf(null));
        // An image that is twice in a chain is meant where it is nearer.
        Assert.Equal(2, Disk(chain: ["/a", "/a"]).DepthOf("/a"));
    }

    [Fact]
    public void Disk_is_found_by_target_before_source()
    {
        var target = Disk() with { Target = "vda", Source = "/x" };
        var source = Disk() with { Target = "vdb", Source = "vda" };
        var domain = new DomainInfo(Guid.NewGuid(), "d", "local", DomainState.Running, [source, target]);
        Assert.Same(target, domain.FindDisk("vda"));
        Assert.Same(target, domain.FindDisk("/x"));
        Assert.Same(source, domain.FindDisk("vdb"));
        Assert.Null(domain.FindDisk("VDA"));
        Assert.Null(domain.FindDisk(""));
    }
}
