using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>Image repositories of every kind through the service's API, with real images and servers.</summary>
[Trait("Category", "Slow")]
public sealed class ImageRepositoryTests : IDisposable
{
    private const long Size = 4 << 20;

    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-images-").FullName;
    private readonly string _images;

    public ImageRepositoryTests()
    {
        Requires.Libvirt();
        _images = Directory.CreateDirectory(Path.Combine(_folder, "images")).FullName;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Images_of_a_folder_are_listed_and_described()
    {
        await CreateAsync("base.raw", "raw");
        await CreateAsync("middle.qcow2", "qcow2", "base.raw");
        await CreateAsync("top.qcow2", "qcow2", Image("middle.qcow2"), "qcow2");
        await CreateAsync("old.qed", "qed", "./base.raw");
        File.CreateSymbolicLink(Image("latest"), "top.qcow2");
        Directory.CreateDirectory(Image("folder"));
        File.CreateSymbolicLink(Image("folder link"), "folder");
        File.CreateSymbolicLink(Image("dangling"), "nothing");
        await File.WriteAllTextAsync(Image(".hidden"), "x");
        await File.WriteAllTextAsync(Image("a,b"), "x");
        await using var service = await StartAsync(("files", _images + "/"), ("more", $"file://{_images}"));

        var list = await service.Http.GetFromJsonAsync<JsonElement>("/images?repository=files");
        Assert.Equal(["base.raw", "latest", "middle.qcow2", "old.qed", "top.qcow2"], Names(list));
        Assert.All(list.GetProperty("items").EnumerateArray(), image =>
        {
            Assert.Equal(("files", Size), (image.GetProperty("repository").GetString(), image.GetProperty("size").GetInt64()));
            Assert.Equal(JsonValueKind.Null, image.GetProperty("refusal").ValueKind);
            Assert.NotEmpty(image.GetProperty("fingerprint").GetString()!);
        });
        var repository = Assert.Single(list.GetProperty("repositories").EnumerateArray());
        Assert.Equal(("files", _images + "/", "reachable"), (Text(repository, "name"), Text(repository, "uri"), Text(repository, "state")));

        var top = await FindAsync(service, "files", "top.qcow2");
        Assert.Equal(("qcow2", 65536), (Text(top, "format"), top.GetProperty("clusterSize").GetInt32()));
        Assert.Equal([(Image("middle.qcow2"), "qcow2"), (Image("base.raw"), "raw")], Chain(top));
        var raw = await FindAsync(service, "files", "base.raw");
        Assert.Equal(("raw", JsonValueKind.Null), (Text(raw, "format"), raw.GetProperty("clusterSize").ValueKind));
        var old = await FindAsync(service, "files", "old.qed");
        Assert.Equal("qed", Text(old, "format"));
        Assert.Equal([(Image("base.raw"), "raw")], Chain(old));
        Assert.Equal(Text(top, "fingerprint"), Text(await FindAsync(service, "files", "latest"), "fingerprint"));

        // Page by page it is the same list, over all repositories.
        var paged = new List<string>();
        for (string? cursor = "", url = "/images?limit=3"; cursor is not null;)
        {
            var page = await service.Http.GetFromJsonAsync<JsonElement>(url + cursor);
            paged.AddRange(Names(page));
            Assert.Equal(2, page.GetProperty("repositories").GetArrayLength());
            cursor = page.GetProperty("nextCursor").GetString() is { } next ? $"&cursor={next}" : null;
        }
        Assert.Equal([.. Names(list), .. Names(list)], paged);
    }

    [Fact]
    public async Task A_fingerprint_changes_with_any_image_of_the_chain_and_only_then()
    {
        await CreateAsync("base.raw", "raw");
        await CreateAsync("top.qcow2", "qcow2", "base.raw");
        await CreateAsync("other.raw", "raw");
        await using var service = await StartAsync(("files", _images));
        var before = await FingerprintsAsync();
        File.SetUnixFileMode(Image("base.raw"), UnixFileMode.UserRead);
        Assert.Equal(before, await FingerprintsAsync());

        await Shell.RunAsync("qemu-io", "-f", "raw", "-c", "write -P 1 0 4k", Image("base.raw"));
        var after = await FingerprintsAsync();
        Assert.NotEqual(before.Base, after.Base);
        Assert.NotEqual(before.Top, after.Top);
        Assert.Equal(before.Other, after.Other);

        // The same bytes and time in another file, which a copy or a new version would be.
        File.Copy(Image("other.raw"), Image("copy.raw"));
        File.SetLastWriteTimeUtc(Image("copy.raw"), File.GetLastWriteTimeUtc(Image("other.raw")));
        File.Move(Image("copy.raw"), Image("other.raw"), overwrite: true);
        Assert.NotEqual(after.Other, (await FingerprintsAsync()).Other);

        async Task<(string? Base, string? Top, string? Other)> FingerprintsAsync() =>
            (Text(await FindAsync(service, "files", "base.raw"), "fingerprint"), Text(await FindAsync(service, "files", "top.qcow2"), "fingerprint"), Text(await FindAsync(service, "files", "other.raw"), "fingerprint"));
    }

    [Fact]
    public async Task What_leads_out_of_a_folder_is_refused_with_the_reason()
    {
        var secret = Path.Combine(_folder, "secret.raw");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "raw", secret, "4M");
        Directory.CreateDirectory(Image("sub"));
        await CreateAsync("base.raw", "raw");
        await CreateAsync("sub/inside.raw", "raw");
        File.CreateSymbolicLink(Image("back"), "..");
        var expected = new Dictionary<string, string>();

        // Backing links.
        foreach (var (name, backing, format) in new[]
        {
            ("absolute", secret, "raw"), ("relative", "../secret.raw", "raw"), ("through", "sub/../../secret.raw", "raw"), ("around", $"../{Path.GetFileName(_images)}/base.raw", "raw"),
            ("below", "sub/inside.raw", "raw"), ("by link", "back/secret.raw", "raw"), ("json", "json:{\"driver\":\"file\",\"filename\":\"" + secret + "\"}", "raw"),
            ("json inside", "json:{\"driver\":\"file\",\"filename\":\"" + Image("base.raw") + "\"}", "raw"), ("protocol", "file:base.raw", "raw"), ("nbd", "nbd://127.0.0.1:1/x", "raw"),
            ("nbd socket", "nbd+unix:///x?socket=/run/x", "raw"), ("http", "http://127.0.0.1:1/x", "raw"), ("device", "/dev/zero", "raw"), ("options", "base.raw,x=y", "raw"),
        })
        {
            await Shell.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", format, Image(name), "4M");
            expected[name] = $"has a backing file '{backing}' that is not an image of this repository";
        }
        await Overlay("missing", "nothing.raw", "raw", "has a backing file 'nothing.raw' that is not in the repository");
        await Overlay("onto link", "link out", "raw", "has a backing file 'link out' that is a link that leads out of the repository");
        await Overlay("onto FIFO", "pipe", "raw", "has a backing file 'pipe' that is not a regular file");
        await Overlay("loop a", "loop b", "qcow2", "has a chain that comes back to 'loop a'");
        await Overlay("loop b", "loop a", "qcow2", "has a chain that comes back to 'loop b'");
        await Overlay("self", "self", "qcow2", "has a chain that comes back to 'self'");
        await Overlay("other format", "base.raw", "qcow2", "has a backing file 'base.raw' that is recorded as qcow2 and looks like raw");
        await Overlay("as raw", "self", "raw", "has a backing file 'self' that is recorded as raw and looks like qcow2");
        await Overlay("as vmdk", "base.raw", "vmdk", "records its backing file 'base.raw' as vmdk");
        await Overlay("formatless", "base.raw", "raw", "qemu-img rebase -u -b FILE -F FORMAT");
        await ForgetFormatAsync("formatless");
        await CreateAsync("plain.qcow2", "qcow2");
        await CreateAsync("on qcow2.qed", "qed", "plain.qcow2", "qcow2");
        expected["on qcow2.qed"] = "which QED can do for raw alone";
        for (var i = 0; i < 33; i++)
            await CreateAsync($"chain {i}", "qcow2", i == 0 ? "base.raw" : $"chain {i - 1}", i == 0 ? "raw" : "qcow2");
        expected["chain 31"] = expected["chain 32"] = "has a chain of more than 32 images";

        // Formats and features.
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-o", $"data_file={secret},data_file_raw=on", Image("data file"), "4M");
        expected["data file"] = "has its data in another file";
        await Overlay("onto data file", "data file", "qcow2", "has a backing file 'data file' that has its data in another file");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s", Image("encrypted"), "4M");
        expected["encrypted"] = "is encrypted";
        foreach (var format in new[] { "vmdk", "vdi", "vhdx", "vpc", "parallels" })
        {
            await Shell.RunAsync("qemu-img", "create", "-q", "-f", format, Image(format), "4M");
            expected[format] = $"is of the format {format}";
        }
        await File.WriteAllTextAsync(Image("descriptor"), $"# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 8192 FLAT \"{secret}\" 0\n");
        expected["descriptor"] = "is of the format vmdk";
        await File.WriteAllBytesAsync(Image("empty"), []);
        expected["empty"] = "is empty";
        await File.WriteAllBytesAsync(Image("damaged"), [.. "QFI"u8, 0xfb, 0, 0, 0, 3, .. new byte[600]]);
        expected["damaged"] = "cannot be read";

        // Files that are none.
        File.CreateSymbolicLink(Image("link out"), secret);
        File.CreateSymbolicLink(Image("link up"), "../secret.raw");
        File.CreateSymbolicLink(Image("link on"), "link out");
        expected["link out"] = expected["link up"] = expected["link on"] = "is a link that leads out of the repository";
        await Shell.RunAsync("mkfifo", Image("pipe"));
        File.CreateSymbolicLink(Image("link to pipe"), "pipe");
        expected["link to pipe"] = "is not a regular file";
        File.CreateSymbolicLink(Image("circle"), "circle");
        expected["circle"] = "cannot be read";

        await using var service = await StartAsync(("files", _images));
        var list = await service.Http.GetFromJsonAsync<JsonElement>("/images?limit=1000");
        foreach (var image in list.GetProperty("items").EnumerateArray())
            AssertRefusal(image, expected.GetValueOrDefault(Text(image, "name")!));
        Assert.Empty(expected.Keys.Except(Names(list)));

        // What is not listed can still be asked for.
        foreach (var name in new[] { "pipe", "sub", "back" })
            AssertRefusal(await FindAsync(service, "files", name), name == "back" ? "leads out of the repository" : "is not a regular file");
        AssertRefusal(await FindAsync(service, "files", "data file"), "has its data in another file");

        // Mended, it can be used at once.
        await Shell.RunAsync("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "base.raw", "-F", "raw", Image("absolute"));
        AssertRefusal(await FindAsync(service, "files", "absolute"), null);
        File.CreateSymbolicLink(Image("into sub"), "sub/inside.raw");
        AssertRefusal(await FindAsync(service, "files", "into sub"), null);

        async Task Overlay(string name, string backing, string format, string refusal)
        {
            await Shell.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", format, Image(name), "4M");
            expected[name] = refusal;
        }
    }

    [Fact]
    public async Task Hostile_names_are_answered_and_never_reach_the_disk()
    {
        await CreateAsync("base.raw", "raw");
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "raw", Path.Combine(_folder, "secret.raw"), "4M");
        Directory.CreateDirectory(Image("sub"));
        await CreateAsync("sub/inside.raw", "raw");
        await File.WriteAllTextAsync(Image(".hidden"), "x");
        await File.WriteAllTextAsync(Image("%2e"), "x");
        await using var service = await StartAsync(("files", _images));

        foreach (var name in new[]
        {
            "..%2fsecret.raw", "..%2Fsecret.raw", "%2e%2e%2fsecret.raw", "%2e%2e%2Fimages%2fbase.raw", "..%252fsecret.raw", "%252e%252e%252fsecret.raw", "..%5csecret.raw", "..%5Csecret.raw",
            "%2fetc%2fpasswd", "%2Fetc%2Fpasswd", "sub%2finside.raw", "sub/inside.raw", ".%2fbase.raw", "base.raw%2f", "base.raw%2f.", "../secret.raw", "../../etc/passwd", "%2e%2e/secret.raw",
            "./../../secret.raw", "..%c0%afsecret.raw", "..%ef%bc%8fsecret.raw", "base.raw%00", "%00", "base.raw%00.qcow2", "base.raw%0a", "base.raw%0d%0aX:y", ".hidden", "%2ehidden", "%252e", "%25",
            ".", "%2e", "-rf", "json:%7b%22driver%22:%22file%22%7d", "nbd:127.0.0.1:1", "file:%2fetc%2fpasswd", "base.raw,x=y", "base.raw;x", "%20base.raw", "%ff", "%e2%80%ae", new string('a', 256), new string('a', 4000),
        })
        {
            var answer = await RawAsync(service, $"/images/files/{name}");
            Assert.True(answer.StartsWith("HTTP/1.1 404 ", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 400 ", StringComparison.Ordinal), $"{name}: {answer}");
            Assert.DoesNotContain("\"format\"", answer, StringComparison.Ordinal);
        }
        // The server tidies the path up: this is the list.
        foreach (var name in new[] { "..", "%2e%2e", "%2E." })
            Assert.Contains("\"nextCursor\"", await RawAsync(service, $"/images/files/{name}"), StringComparison.Ordinal);
        foreach (var repository in new[] { "other", "..", "%2e%2e", "files%2f..", "FILES", "%2f", "fi%00les", "%c3%a4", _images.Replace("/", "%2f", StringComparison.Ordinal) })
        {
            var answer = await RawAsync(service, $"/images/{repository}/base.raw");
            Assert.True(answer.StartsWith("HTTP/1.1 404 ", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 400 ", StringComparison.Ordinal), $"{repository}: {answer}");
        }
        foreach (var url in new[] { "/images/files/nothing", "/images/files/a,b", "/images/files/..%2fsecret.raw", "/images/files/%252e", "/images/other/base.raw", "/images?repository=other", "/images?repository=..%2f" })
            using (var answer = await service.Http.GetAsync(new Uri(url, UriKind.Relative)))
                await Problem.AssertAsync(answer, 404, "image-not-found");
        foreach (var url in new[] { "/images?limit=0", "/images?limit=x", "/images?cursor=x" })
            using (var answer = await service.Http.GetAsync(new Uri(url, UriKind.Relative)))
                await Problem.AssertInvalidAsync(answer, url[8..].Split('=')[0]);
        AssertRefusal(await FindAsync(service, "files", "%62ase.raw"), null);
    }

    [Fact]
    public async Task Images_of_a_web_server_are_found_by_name()
    {
        await CreateAsync("base.raw", "raw");
        await CreateAsync("ä b=c.raw", "raw");
        await using var web = await ImageWebServer.StartAsync(_images);
        var address = web.Address + "store";
        await CreateAsync("top.qcow2", "qcow2", $"{address}/base.raw");
        await CreateAsync("beside.qcow2", "qcow2", "base.raw");
        foreach (var (name, backing) in new[]
        {
            ("up", "../base.raw"), ("elsewhere", web.Address + "base.raw"), ("query", $"{address}/base.raw?x"), ("file", "/etc/passwd"), ("hidden", $"{address}/.hidden"),
            ("json", "json:{\"driver\":\"http\",\"url\":\"" + address + "/base.raw\"}"), ("nbd", "nbd://127.0.0.1:1/base.raw"),
        })
            await Shell.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "raw", Image(name), "4M");
        await using var service = await StartAsync(
            new Dictionary<string, string> { ["StreamService__ImageRepositories__0__Images__0"] = "base.raw", ["StreamService__ImageRepositories__0__Images__1"] = "nothing" },
            ("web", address), ("strict", web.Address + "whole/"), ("moved", web.Address + "moved"), ("broken", web.Address + "broken"), ("shut", web.Address + "shut"));

        var list = await service.Http.GetFromJsonAsync<JsonElement>("/images?repository=web");
        Assert.Equal(["base.raw"], Names(list));
        Assert.Equal("reachable", Text(list.GetProperty("repositories")[0], "state"));
        AssertRefusal(list.GetProperty("items")[0], null);
        var top = await FindAsync(service, "web", "top.qcow2");
        Assert.Equal(("qcow2", Size), (Text(top, "format"), top.GetProperty("size").GetInt64()));
        Assert.Equal([($"{address}/base.raw", "raw")], Chain(top));
        Assert.Equal([($"{address}/base.raw", "raw")], Chain(await FindAsync(service, "web", "beside.qcow2")));
        AssertRefusal(await FindAsync(service, "web", "%C3%A4%20b=c.raw"), null);
        foreach (var name in new[] { "up", "elsewhere", "query", "file", "hidden", "json", "nbd" })
            AssertRefusal(await FindAsync(service, "web", name), "is not an image of this repository");
        AssertRefusal(await FindAsync(service, "strict", "base.raw"), "does not offer ranges");
        AssertRefusal(await FindAsync(service, "moved", "base.raw"), "is redirected elsewhere");
        AssertRefusal(await FindAsync(service, "shut", "base.raw"), "is answered with 403");
        using (var answer = await service.Http.GetAsync(new Uri("/images/web/nothing", UriKind.Relative)))
            await Problem.AssertAsync(answer, 404, "image-not-found");
        await AssertUnreachableAsync(service, "broken", "base.raw");

        // What was learned is forgotten in a while, and the new file has another fingerprint.
        var fingerprint = Text(await FindAsync(service, "web", "base.raw"), "fingerprint");
        await Shell.RunAsync("qemu-img", "resize", "-q", "-f", "raw", Image("base.raw"), "8M");
        await Shell.WaitForAsync("the new size", async () => await FindAsync(service, "web", "base.raw") is var image
            && image.GetProperty("size").GetInt64() == 8 << 20 && Text(image, "fingerprint") != fingerprint);

        await web.DisposeAsync();
        await AssertUnreachableAsync(service, "web", "never asked for");
    }

    [Fact]
    public async Task Exports_of_an_NBD_server_are_images()
    {
        await using var server = new NbdkitServer(_folder, $"dir={_images}");
        var uri = server.Uri;
        await CreateAsync("base.raw", "raw");
        await CreateAsync("a=b ä.raw", "raw");
        foreach (var (name, backing) in new[]
        {
            ("top.qcow2", Export("base.raw")), ("bare", "base.raw"), ("file", Image("base.raw")), ("other", "nbd+unix:///base.raw?socket=/run/other.sock"), ("tls", Export("base.raw") + "&tls-creds=x"),
        })
            await Shell.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "raw", Image(name), "4M");
        await server.StartAsync();
        await using var service = await StartAsync(("nbd", uri));

        var list = await service.Http.GetFromJsonAsync<JsonElement>("/images");
        Assert.Equal(["a=b ä.raw", "bare", "base.raw", "file", "other", "tls", "top.qcow2"], Names(list));
        foreach (var image in list.GetProperty("items").EnumerateArray())
            AssertRefusal(image, Text(image, "name") is "bare" or "file" or "other" or "tls" ? "is not an image of this repository" : null);
        var top = await FindAsync(service, "nbd", "top.qcow2");
        Assert.Equal(("qcow2", Size), (Text(top, "format"), top.GetProperty("size").GetInt64()));
        Assert.Equal([(Export("base.raw"), "raw")], Chain(top));
        foreach (var name in new[] { "default", "nothing" })
            using (var answer = await service.Http.GetAsync(new Uri($"/images/nbd/{name}", UriKind.Relative)))
                await Problem.AssertAsync(answer, 404, "image-not-found");

        // One byte in the middle is in none of its headers.
        var fingerprint = Text(top, "fingerprint");
        await Shell.RunAsync("qemu-io", "-f", "raw", "-c", "write -P 1 2M 512", Image("base.raw"));
        await Shell.WaitForAsync("another fingerprint", async () => Text(await FindAsync(service, "nbd", "top.qcow2"), "fingerprint") != fingerprint);

        await server.KillAsync();
        await AssertUnreachableAsync(service, "nbd", "never asked for");
        await server.StartAsync();
        await Shell.WaitForAsync("the server to be found again", async () => Names(await service.Http.GetFromJsonAsync<JsonElement>("/images")).Any());

        string Export(string name) => uri.Replace("///", "///" + name, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_export_without_a_name_is_called_default()
    {
        await CreateAsync("base.raw", "raw");
        await using var daemon = new NbdkitServer(_folder, Image("base.raw"));
        await daemon.StartAsync();
        await using var service = await StartAsync(("nbd", daemon.Uri));
        Assert.Equal(["default"], Names(await service.Http.GetFromJsonAsync<JsonElement>("/images")));
        AssertRefusal(await FindAsync(service, "nbd", "default"), null);
    }

    [Fact]
    public async Task Repositories_that_cannot_be_reached_hold_up_no_other()
    {
        await CreateAsync("base.raw", "raw");
        await using var service = await StartAsync(
            ("files", _images), ("gone", Path.Combine(_folder, "gone")), ("nbd", "nbd://127.0.0.1:1"), ("socket", $"nbd+unix:///?socket={_folder}/none.sock"), ("web", "http://127.0.0.1:1/"));

        var list = await service.Http.GetFromJsonAsync<JsonElement>("/images");
        Assert.Equal(["base.raw"], Names(list));
        Assert.Equal(["files", "gone", "nbd", "socket", "web"], list.GetProperty("repositories").EnumerateArray().Select(repository => Text(repository, "name")));
        foreach (var repository in list.GetProperty("repositories").EnumerateArray().Skip(1))
        {
            Assert.Equal("unreachable", Text(repository, "state"));
            Assert.NotEmpty(Text(repository, "lastError")!);
            await AssertUnreachableAsync(service, Text(repository, "name")!, "base.raw");
        }

        Directory.CreateDirectory(Path.Combine(_folder, "gone"));
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "raw", Path.Combine(_folder, "gone", "late.raw"), "4M");
        await Shell.WaitForAsync("the folder to be found", async () =>
        {
            using var answer = await service.Http.GetAsync(new Uri("/images/gone/late.raw", UriKind.Relative));
            return answer.IsSuccessStatusCode;
        });
    }

    [Fact]
    public async Task An_image_tells_which_disks_use_it()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20);
        await using var other = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        // By another path than the one in the disk's chain.
        var link = Path.Combine(_folder, "link");
        Directory.CreateSymbolicLink(link, domain.Folder);
        File.CreateSymbolicLink(Path.Combine(domain.Folder, "latest"), "base.raw");
        await using var service = await StartAsync(("files", link));

        foreach (var name in new[] { "base.raw", "middle.qcow2", "latest" })
        {
            var user = Assert.Single((await FindAsync(service, "files", name)).GetProperty("users").EnumerateArray());
            Assert.Equal(("local", domain.Id, domain.Name, "vda"), (Text(user, "host"), user.GetProperty("domain").GetGuid(), Text(user, "domainName"), Text(user, "disk")));
        }
        Assert.Empty((await FindAsync(service, "files", "expected.raw")).GetProperty("users").EnumerateArray());
        // The active layer is the domain's own.
        Assert.Empty((await FindAsync(service, "files", "overlay")).GetProperty("users").EnumerateArray());
    }

    [Fact]
    public async Task An_export_tells_which_disks_use_it()
    {
        NbdkitServer? server = null;
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false, baseUri: async image =>
        {
            server = new NbdkitServer(Path.GetDirectoryName(image)!, image);
            await server.StartAsync();
            return server.Uri.Replace("///", "///default", StringComparison.Ordinal);
        });
        await using var _ = server!;
        await using var service = await StartAsync(("nbd", server!.Uri));
        Assert.Equal(domain.Id, Assert.Single((await FindAsync(service, "nbd", "default")).GetProperty("users").EnumerateArray()).GetProperty("domain").GetGuid());
        // This server takes any name for its one export.
        Assert.Empty((await FindAsync(service, "nbd", "x")).GetProperty("users").EnumerateArray());
    }

    private string Image(string name) => Path.Combine(_images, name);

    private async Task CreateAsync(string name, string format, string? backing = null, string backingFormat = "raw") => await Shell.RunAsync(
        "qemu-img", ["create", "-q", "-f", format, .. backing is null ? (string[])[] : ["-u", "-b", backing, "-F", backingFormat], Image(name), "4M"]);

    /// <summary>Takes the header extension away that holds the backing file's format: old programs wrote none.</summary>
    private async Task ForgetFormatAsync(string name)
    {
        const int headerLengthAt = 100;
        var bytes = await File.ReadAllBytesAsync(Image(name));
        var extension = System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(headerLengthAt));
        Assert.Equal(0xe2792acau, System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(extension)));
        // An unknown one is skipped.
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(extension), 0x12345678);
        await File.WriteAllBytesAsync(Image(name), bytes);
    }

    private static Task<ServiceProcess> StartAsync(params (string Name, string Uri)[] repositories) => StartAsync([], repositories);

    private static Task<ServiceProcess> StartAsync(Dictionary<string, string> settings, params (string Name, string Uri)[] repositories)
    {
        foreach (var (i, (name, uri)) in repositories.Index())
        {
            settings[$"StreamService__ImageRepositories__{i}__Name"] = name;
            settings[$"StreamService__ImageRepositories__{i}__Uri"] = uri;
        }
        return ServiceProcess.StartAsync(settings);
    }

    private static Task<JsonElement> FindAsync(ServiceProcess service, string repository, string name) =>
        service.Http.GetFromJsonAsync<JsonElement>($"/images/{repository}/{name}");

    private static async Task AssertUnreachableAsync(ServiceProcess service, string repository, string name)
    {
        using var answer = await service.Http.GetAsync(new Uri($"/images/{repository}/{name}", UriKind.Relative));
        await Problem.AssertAsync(answer, 503, "image-repository-unreachable");
        Assert.NotNull(answer.Headers.RetryAfter);
    }

    private static void AssertRefusal(JsonElement image, string? reason)
    {
        var refusal = Text(image, "refusal");
        if (reason is null)
        {
            Assert.True(refusal is null, $"{image}");
            return;
        }
        Assert.True(refusal?.Contains(reason, StringComparison.Ordinal), $"Expected '{reason}': {image}");
        Assert.Equal((JsonValueKind.Null, 0, 0), (image.GetProperty("format").ValueKind, image.GetProperty("size").GetInt64(), image.GetProperty("backingChain").GetArrayLength()));
    }

    private static string? Text(JsonElement element, string member) => element.GetProperty(member).GetString();

    private static IEnumerable<string> Names(JsonElement list) => list.GetProperty("items").EnumerateArray().Select(image => Text(image, "name")!);

    private static IEnumerable<(string, string)> Chain(JsonElement image) =>
        image.GetProperty("backingChain").EnumerateArray().Select(layer => (Text(layer, "source")!, Text(layer, "format")!));

    /// <summary>The answer to a request line exactly as it is written, which a client library would tidy up.</summary>
    private static async Task<string> RawAsync(ServiceProcess service, string target)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(service.Address.Host, service.Address.Port);
        await using var stream = socket.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        using var reader = new StreamReader(stream);
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        return await reader.ReadToEndAsync(deadline.Token);
    }
}
