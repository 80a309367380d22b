using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Deployment.Images;

namespace StreamService.Tests.Deployment;

public sealed class ImageCatalogTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("/srv/images")]
    [InlineData("/srv/images/")]
    [InlineData("/srv/a b@c")]
    [InlineData("file:///srv/images")]
    [InlineData("nbd://images.example")]
    [InlineData("nbd://images.example:10810/")]
    [InlineData("nbd://[::1]:10809")]
    [InlineData("nbd+unix:///?socket=/run/images.sock")]
    [InlineData("nbd://images.example/export")]
    [InlineData("nbd+unix:///export?socket=/run/images.sock")]
    [InlineData("http://images.example")]
    [InlineData("https://images.example:8443/a/b")]
    public void Repositories_of_every_kind_can_be_configured(string uri) => Assert.Empty(new ImageRepositoryOptions { Name = "a", Uri = uri }.Faults());

    [Theory]
    [InlineData("")]
    [InlineData("images")]
    [InlineData("./images")]
    [InlineData("/srv/../etc")]
    [InlineData("/srv/\0")]
    [InlineData("file://host/srv")]
    [InlineData("ftp://images.example/")]
    [InlineData("json:{}")]
    [InlineData("nbds://images.example")]
    [InlineData("nbd://images.example/a%2Fb")]
    [InlineData("nbd://images.example:0")]
    [InlineData("nbd://images.example:65536")]
    [InlineData("nbd://")]
    [InlineData("nbd+unix:///.export?socket=/run/images.sock")]
    [InlineData("nbd+unix:///?socket=images.sock")]
    [InlineData("nbd+unix:///")]
    [InlineData("nbd+unix:///?socket=/a&tls-creds=b")]
    [InlineData("http://images.example/?a=b")]
    [InlineData("http://images.example/#a")]
    public void Other_addresses_are_faults(string uri) =>
        Assert.Equal("Uri", Assert.Single(new ImageRepositoryOptions { Name = "a", Uri = uri }.Faults()).Member);

    [Theory]
    [InlineData("http://user:secret@images.example/")]
    [InlineData("https://secret@images.example/")]
    [InlineData("nbd://user:secret@images.example")]
    [InlineData("ftp://user:secret@images.example")]
    [InlineData("http://user:secret@[images.example/")]
    [InlineData("nbd://user:secret@images.example:99999")]
    public void Passwords_are_a_fault_and_not_repeated(string uri)
    {
        var (member, fault) = Assert.Single(new ImageRepositoryOptions { Name = "a", Uri = uri }.Faults());
        Assert.Equal("Uri", member);
        Assert.DoesNotContain("secret", fault, StringComparison.Ordinal);
    }

    [Fact]
    public void A_socket_path_that_no_address_can_hold_is_a_fault() =>
        Assert.Single(new ImageRepositoryOptions { Name = "a", Uri = $"nbd+unix:///?socket=/{new string('a', 200)}" }.Faults());

    [Fact]
    public void All_faults_are_told_at_once()
    {
        var result = new StreamServiceOptionsValidator().Validate(null, new StreamServiceOptions
        {
            ImageRepositories =
            [
                new() { Name = "a", Uri = "/srv/images", Images = ["good", "../bad", ""] },
                new() { Name = "a", Uri = "nowhere" },
                new() { Name = ".b", Uri = "http://user:secret@images.example" },
            ],
        });
        foreach (var fault in new[] { "0:Images:1 ", "0:Images:2 ", "1:Uri ", "1:Name 'a' is used twice", "2:Name ", "2:Uri " })
            Assert.Single(result.Failures!, failure => failure.StartsWith("StreamService:ImageRepositories:" + fault, StringComparison.Ordinal));
        Assert.Equal(6, result.Failures!.Count());
    }

    [Theory]
    [InlineData("/srv/images/a.qcow2", "files", "a.qcow2")]
    [InlineData("/srv/images/a b", "files", "a b")]
    [InlineData("nbd://images.example:10809/a", "nbd", "a")]
    [InlineData("nbd://images.example/a", "nbd", "a")]
    [InlineData("nbd://IMAGES.example//a%20b", "nbd", "a b")]
    [InlineData("nbd://images.example:10809/", "nbd", "default")]
    [InlineData("nbd://images.example:10809", "nbd", "default")]
    [InlineData("nbd://[::1]:10810/a", "six", "a")]
    [InlineData("nbd://::1:10810/a", "six", "a")]
    [InlineData("nbd+unix:///a?socket=/run/images.sock", "socket", "a")]
    [InlineData("nbd+unix:///a=b ä?socket=/run/images.sock", "socket", "a=b ä")]
    [InlineData("nbd+unix:///a%3Db%20%C3%A4?socket=%2Frun/images.sock", "socket", "a=b ä")]
    [InlineData("nbd+unix:///?socket=/run/images.sock", "socket", "default")]
    [InlineData("nbd://one.example/golden", "one", "golden")]
    [InlineData("nbd://one.example/other", null, null)]
    [InlineData("nbd+unix://?socket=/run/images.sock", null, null)]
    [InlineData("http://images.example/a/b%20c", "http", "b c")]
    [InlineData("HTTP://Images.Example:80/a/b", "http", "b")]
    [InlineData("https://images.example/b", "https", "b")]
    [InlineData("/srv/images", null, null)]
    [InlineData("/srv/images/", null, null)]
    [InlineData("/srv/images/.hidden", null, null)]
    [InlineData("/srv/images/sub/a", null, null)]
    [InlineData("/srv/images/../images/a", null, null)]
    [InlineData("/srv/images2/a", null, null)]
    [InlineData("srv/images/a", null, null)]
    [InlineData("a", null, null)]
    [InlineData("", null, null)]
    [InlineData("json:{\"driver\":\"file\",\"filename\":\"/srv/images/a\"}", null, null)]
    [InlineData("nbd://images.example:10810/a", null, null)]
    [InlineData("nbd://images.example.org/a", null, null)]
    [InlineData("nbd://user@images.example/a", null, null)]
    [InlineData("nbd://images.example/a/b", null, null)]
    [InlineData("nbd://images.example/a%2Fb", null, null)]
    [InlineData("nbd://images.example/a?tls-creds=x", null, null)]
    [InlineData("nbds://images.example/a", null, null)]
    [InlineData("nbd:images.example:10809:exportname=a", null, null)]
    [InlineData("nbd+unix:///a?socket=/run/other.sock", null, null)]
    [InlineData("nbd+unix:///a?socket=/run/images.sock&socket=/run/other.sock", null, null)]
    [InlineData("nbd+unix:///a", null, null)]
    [InlineData("nbd+unix://host/a?socket=/run/images.sock", null, null)]
    [InlineData("http://images.example/b", null, null)]
    [InlineData("http://images.example/a/", null, null)]
    [InlineData("http://images.example/a/../a/b", null, null)]
    [InlineData("http://images.example/x/../a/b", null, null)]
    [InlineData("http://images.example/a/%2e%2e", null, null)]
    [InlineData("http://images.example/a/b%2Fc", null, null)]
    [InlineData("http://images.example/a/b?c", null, null)]
    [InlineData("http://images.example/a/b#c", null, null)]
    [InlineData("http://user@images.example/a/b", null, null)]
    [InlineData("http://images.example:81/a/b", null, null)]
    [InlineData("https://images.example/a/b", null, null)]
    [InlineData("http:/images.example/a/b", null, null)]
    public void A_source_is_located_by_its_text(string source, string? repository, string? name)
    {
        var catalog = Catalog(
            ("files", "/srv/images/"), ("nbd", "nbd://images.example"), ("six", "nbd://[::1]:10810/"), ("socket", "nbd+unix:///?socket=/run/images.sock"),
            ("http", "http://images.example/a"), ("https", "https://images.example"),
            ("one", "nbd://one.example/golden"));
        Assert.Equal(repository is null ? null : (repository, name!), catalog.Locate(source));
    }

    [Fact]
    public void A_folder_behind_a_link_is_located_by_both_its_paths()
    {
        var real = Directory.CreateDirectory(Path.Combine(_folder, "real")).FullName;
        var link = Directory.CreateSymbolicLink(Path.Combine(_folder, "link"), real).FullName;
        var catalog = Catalog(("files", link));
        Assert.Equal(("files", "a"), catalog.Locate(Path.Combine(real, "a")));
        Assert.Equal(("files", "a"), catalog.Locate(Path.Combine(link, "a")));
    }

    [Fact]
    public void What_is_written_for_an_export_is_read_as_the_same_again()
    {
        foreach (var export in new[] { new NbdExportUri("/run/a b&c?d", "", 0, "x y=ä"), new(null, "::1", 10809, ""), new(null, "images.example", 1, "a/b?c") })
            Assert.Equal(export, NbdExportUri.Find(export.ToString()));
    }

    [Fact]
    public async Task What_is_not_configured_is_not_found()
    {
        var catalog = Catalog(("files", _folder));
        await File.WriteAllBytesAsync(Path.Combine(_folder, ".hidden"), new byte[512], TestContext.Current.CancellationToken);
        foreach (var (repository, name) in new[] { ("other", "a"), ("files", "a"), ("files", ".hidden"), ("files", "../x"), ("files", ""), ("", "a"), ("FILES", "a") })
            await Assert.ThrowsAsync<ImageNotFoundException>(() => catalog.FindAsync(repository, name, TestContext.Current.CancellationToken));
        await Assert.ThrowsAsync<ImageNotFoundException>(() => catalog.ListNamesAsync("other", TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_folder_that_is_missing_cannot_be_reached()
    {
        var catalog = Catalog(("files", Path.Combine(_folder, "later")), ("here", _folder));
        await Assert.ThrowsAsync<RepositoryUnreachableException>(() => catalog.FindAsync("files", "a", TestContext.Current.CancellationToken));
        var listings = await catalog.ListNamesAsync(null, TestContext.Current.CancellationToken);
        Assert.Contains("later", listings[0].LastError, StringComparison.Ordinal);
        Assert.Null(listings[1].LastError);

        Directory.CreateDirectory(Path.Combine(_folder, "later"));
        Assert.Null((await catalog.ListNamesAsync("files", TestContext.Current.CancellationToken))[0].LastError);
    }

    private static ImageCatalog Catalog(params (string Name, string Uri)[] repositories) => new(
        Options.Create(new StreamServiceOptions { ImageRepositories = [.. repositories.Select(repository => new ImageRepositoryOptions { Name = repository.Name, Uri = repository.Uri })] }),
        TimeProvider.System);
}
