using StreamService.Qemu.Disks;

namespace StreamService.Tests.Disks;

public sealed class FileStatusTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Tells_files_links_and_the_rest_apart_without_opening_them()
    {
        var file = Path.Combine(_folder, "größe");
        File.WriteAllBytes(file, new byte[123]);
        File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch.AddTicks(12_345_678_901));
        File.CreateSymbolicLink(Path.Combine(_folder, "link"), "größe");

        var status = FileStatus.Find(file)!.Value;
        Assert.Equal((FileKind.Regular, 123, 1_234_567_890_100), (status.Kind, status.Size, status.Modified));
        Assert.NotEqual(0ul, status.Inode);
        Assert.Equal(FileKind.Link, FileStatus.Find(Path.Combine(_folder, "link"))?.Kind);
        Assert.Equal(FileKind.Other, FileStatus.Find(_folder)?.Kind);
        Assert.Equal(FileKind.Other, FileStatus.Find("/dev/null")?.Kind);
        Assert.Null(FileStatus.Find(Path.Combine(_folder, "nothing")));
        Assert.Null(FileStatus.Find(Path.Combine(file, "below a file")));
        Assert.Throws<IOException>(() => FileStatus.Find(Path.Combine(_folder, new string('a', 256))));
    }

    [Fact]
    public void A_real_path_has_no_links_left()
    {
        var folder = Directory.CreateDirectory(Path.Combine(_folder, "a", "b")).FullName;
        var file = Path.Combine(folder, "ä");
        File.WriteAllText(file, "");
        Directory.CreateSymbolicLink(Path.Combine(_folder, "c"), "a/b");
        File.CreateSymbolicLink(Path.Combine(folder, "up"), "../../c/ä");
        File.CreateSymbolicLink(Path.Combine(folder, "circle"), "circle");

        Assert.Equal(file, FileStatus.RealPath(Path.Combine(_folder, "c", "up")));
        Assert.Equal(Path.Combine(_folder, "a"), FileStatus.RealPath(Path.Combine(_folder, "c", "..")));
        Assert.Null(FileStatus.RealPath(Path.Combine(_folder, "nothing")));
        Assert.Throws<IOException>(() => FileStatus.RealPath(Path.Combine(folder, "circle")));
    }
}
