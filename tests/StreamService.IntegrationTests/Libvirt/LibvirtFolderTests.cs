using StreamService.IntegrationTests.Harness;
using StreamService.Qemu.Libvirt;

namespace StreamService.IntegrationTests.Libvirt;

[Trait("Category", "Slow")]
public sealed class LibvirtFolderTests : IAsyncLifetime
{
    private readonly string _path = Directory.CreateTempSubdirectory("lv-folder-").FullName;
    private LibvirtConnection _connection = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        Requires.Program("virsh");
        _connection = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri, cancellationToken: Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (_connection is not null)
            await _connection.DisposeAsync();
        Directory.Delete(_path, recursive: true);
    }

    [Fact]
    public async Task A_file_is_written_found_and_deleted()
    {
        // Several pieces, the last one short.
        var content = new byte[1_000_003];
        Random.Shared.NextBytes(content);
        await using var folder = await _connection.OpenFolderAsync(_path + "//", Token);
        Assert.Equal(_path, folder.Path);
        Assert.False(await folder.ExistsAsync("a & b.qcow2", Token));

        await folder.WriteFileAsync("a & b.qcow2", content, Token);

        var file = Path.Combine(_path, "a & b.qcow2");
        Assert.Equal(content, await File.ReadAllBytesAsync(file, Token));
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.True(await folder.ExistsAsync("a & b.qcow2", Token));
        Assert.True(await folder.DeleteFileAsync("a & b.qcow2", Token));
        Assert.False(File.Exists(file));
        Assert.False(await folder.DeleteFileAsync("a & b.qcow2", Token));
    }

    [Fact]
    public async Task An_empty_file_is_a_file()
    {
        await using var folder = await _connection.OpenFolderAsync(_path, Token);

        await folder.WriteFileAsync("empty", ReadOnlyMemory<byte>.Empty, Token);

        Assert.Equal(0, new FileInfo(Path.Combine(_path, "empty")).Length);
        Assert.True(await folder.ExistsAsync("empty", Token));
    }

    [Fact]
    public async Task What_others_do_in_the_folder_is_seen_and_nothing_of_theirs_is_written_over()
    {
        await using var folder = await _connection.OpenFolderAsync(_path, Token);
        var file = Path.Combine(_path, "theirs");
        await File.WriteAllTextAsync(file, "theirs", Token);
        // libvirt does not list a link that leads nowhere.
        File.CreateSymbolicLink(Path.Combine(_path, "link"), Path.Combine(_path, "nowhere"));

        Assert.True(await folder.ExistsAsync("theirs", Token));
        var error = await Assert.ThrowsAsync<LibvirtException>(() => folder.WriteFileAsync("theirs", "ours"u8.ToArray(), Token));
        Assert.Equal(LibvirtErrorCode.StorageVolumeExists, error.Code);
        await Assert.ThrowsAsync<LibvirtException>(() => folder.WriteFileAsync("link", "ours"u8.ToArray(), Token));
        Assert.Equal("theirs", await File.ReadAllTextAsync(file, Token));
        Assert.False(File.Exists(Path.Combine(_path, "nowhere")));

        File.Delete(file);
        Assert.False(await folder.ExistsAsync("theirs", Token));
    }

    [Theory]
    [InlineData("../outside")]
    [InlineData("sub/file")]
    [InlineData("..")]
    public async Task A_name_does_not_lead_out_of_the_folder(string name)
    {
        await using var folder = await _connection.OpenFolderAsync(_path, Token);

        await Assert.ThrowsAsync<LibvirtException>(() => folder.WriteFileAsync(name, "x"u8.ToArray(), Token));
        Assert.False(await folder.ExistsAsync(name, Token));
        Assert.False(await folder.DeleteFileAsync(name, Token));
    }

    [Fact]
    public async Task The_free_space_is_that_of_the_file_system()
    {
        await using var folder = await _connection.OpenFolderAsync(_path, Token);

        var available = await folder.GetAvailableBytesAsync(Token);

        // Others write meanwhile.
        var expected = new DriveInfo(_path).TotalFreeSpace;
        Assert.InRange(available, expected / 2, expected + (expected / 2));
    }

    [Fact]
    public async Task A_folder_that_is_missing_is_an_error_that_says_so_and_leaves_nothing()
    {
        var missing = Path.Combine(_path, "missing");

        var error = await Assert.ThrowsAsync<LibvirtException>(() => _connection.OpenFolderAsync(missing, Token));

        Assert.Contains(missing, error.Message, StringComparison.Ordinal);
        Assert.Contains("No such file or directory", error.Message, StringComparison.Ordinal);
        Assert.Null(await PoolAsync(missing));
        Assert.False(Directory.Exists(missing));
        await Assert.ThrowsAsync<ArgumentException>(() => _connection.OpenFolderAsync("relative", Token));
    }

    [Fact]
    public async Task A_pool_of_ours_is_there_for_as_long_as_the_folder_is_open()
    {
        var first = await _connection.OpenFolderAsync(_path, Token);
        var pool = await PoolAsync(_path);
        Assert.StartsWith("streamservice-", pool, StringComparison.Ordinal);
        var second = await _connection.OpenFolderAsync(_path, Token);
        await first.WriteFileAsync("kept", "kept"u8.ToArray(), Token);

        await first.DisposeAsync();
        await first.DisposeAsync();
        Assert.Equal(pool, await PoolAsync(_path));
        Assert.True(await second.ExistsAsync("kept", Token));
        await second.DisposeAsync();

        Assert.Null(await PoolAsync(_path));
        Assert.Equal("kept", await File.ReadAllTextAsync(Path.Combine(_path, "kept"), Token));
    }

    [Fact]
    public async Task A_pool_that_a_process_of_ours_left_behind_is_used_and_ended()
    {
        var name = "streamservice-" + Guid.NewGuid().ToString("N")[..8];
        await VirshAsync("pool-create-as", name, "dir", "--target", _path);

        await using (var folder = await _connection.OpenFolderAsync(_path, Token))
        {
            Assert.Equal(name, await PoolAsync(_path));
            await folder.WriteFileAsync("file", "x"u8.ToArray(), Token);
        }

        Assert.Null(await PoolAsync(_path));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_pool_of_somebody_else_is_used_and_left_as_it_was(bool active)
    {
        var name = Path.GetFileName(_path);
        await VirshAsync("pool-define-as", name, "dir", "--target", _path);
        try
        {
            if (active)
                await VirshAsync("pool-start", name);
            await using (var folder = await _connection.OpenFolderAsync(_path, Token))
            {
                Assert.Equal(name, await PoolAsync(_path));
                await folder.WriteFileAsync("file", "x"u8.ToArray(), Token);
            }

            Assert.Equal(active ? name : null, await PoolAsync(_path));
            Assert.Contains(name, await VirshAsync("pool-list", "--all", "--name"), StringComparison.Ordinal);
        }
        finally
        {
            if (active)
                await VirshAsync("pool-destroy", name);
            await VirshAsync("pool-undefine", name);
        }
    }

    [Fact]
    public async Task A_write_that_is_cancelled_leaves_no_file()
    {
        await using var folder = await _connection.OpenFolderAsync(_path, Token);
        var file = Path.Combine(_path, "large");
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        using var watcher = new FileSystemWatcher(_path) { EnableRaisingEvents = true };
        watcher.Created += (_, _) => cancel.Cancel();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => folder.WriteFileAsync("large", new byte[256 * 1024 * 1024], cancel.Token));

        await Shell.WaitForAsync("the file's end", () => Task.FromResult(!File.Exists(file)));
        Assert.False(await folder.ExistsAsync("large", Token));
    }

    [Fact]
    public async Task Work_of_several_at_once_in_one_folder_does_not_collide()
    {
        await using var folder = await _connection.OpenFolderAsync(_path, Token);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(async i =>
        {
            await using var same = await _connection.OpenFolderAsync(_path, Token);
            await same.WriteFileAsync($"file{i}", new byte[300_000], Token);
            Assert.True(await folder.ExistsAsync($"file{i}", Token));
            Assert.True(await folder.GetAvailableBytesAsync(Token) > 0);
        }));

        Assert.Equal(8, Directory.GetFiles(_path).Length);
    }

    [Fact]
    public async Task A_folder_of_a_connection_that_is_gone_is_disposed_in_silence()
    {
        var connection = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri, cancellationToken: Token);
        var folder = await connection.OpenFolderAsync(_path, Token);
        await connection.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => folder.ExistsAsync("file", Token));
        await folder.DisposeAsync();

        // What it left, the next one ends.
        Assert.NotNull(await PoolAsync(_path));
        await (await _connection.OpenFolderAsync(_path, Token)).DisposeAsync();
        Assert.Null(await PoolAsync(_path));
    }

    private static Task<string> VirshAsync(params string[] arguments) =>
        Shell.RunAsync("virsh", ["--quiet", "-c", LibvirtConnectionTests.Uri, .. arguments]);

    /// <summary>The active pool of a folder; null where there is none.</summary>
    private static async Task<string?> PoolAsync(string path)
    {
        var names = await VirshAsync("pool-list", "--name");
        foreach (var name in names.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if ((await VirshAsync("pool-dumpxml", name)).Contains($"<path>{path}</path>", StringComparison.Ordinal))
                return name;
        }

        return null;
    }
}
