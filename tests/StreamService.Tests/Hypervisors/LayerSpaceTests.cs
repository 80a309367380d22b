using StreamService.Hypervisors;

namespace StreamService.Tests.Hypervisors;

public sealed class LayerSpaceTests
{
    private const long MiB = 1 << 20;

    [Theory]
    [InlineData(100, 40L, 40, 60, 0)]
    [InlineData(59, 40L, 40, 60, 1)]
    [InlineData(0, 100L, 40, 60, 0)]    // preallocated: all that is still to come has its place
    [InlineData(10, 80L, 40, 60, 10)]   // preallocated in part
    [InlineData(60, 10L, 40, 60, 0)]    // populated as zeros, which take up nothing
    [InlineData(59, null, 40, 60, 1)]
    public void Missing_is_what_neither_the_file_nor_the_file_system_has_room_for(int free, long? allocated, int populated, int remaining, int missing) =>
        Assert.Equal(missing * MiB, new LayerSpace("/images", free * MiB, allocated * MiB).MissingBytes(populated * MiB, remaining * MiB));

    [Fact]
    public void File_of_this_machine_is_looked_at_where_its_links_lead()
    {
        var folder = Directory.CreateTempSubdirectory("streamservice-test-");
        try
        {
            var file = Path.Combine(folder.FullName, "disk");
            File.WriteAllBytes(file, new byte[MiB]);
            var link = Path.Combine(folder.FullName, "link");
            File.CreateSymbolicLink(link, file);

            var space = LayerSpace.OfLocalFile(link)!;

            Assert.Equal(folder.FullName, space.Folder);
            Assert.InRange(space.FreeBytes, 1, long.MaxValue);
            Assert.InRange(space.AllocatedBytes!.Value, 0, 2 * MiB);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData("/dev/null")]
    [InlineData("/nowhere/disk.qcow2")]
    [InlineData("nbd://host/disk")]
    [InlineData("json:{}")]
    public void What_is_no_file_has_no_space_of_its_own(string source) => Assert.Null(LayerSpace.OfLocalFile(source));
}
