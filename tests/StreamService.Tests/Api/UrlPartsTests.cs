using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using StreamService.Api;
using StreamService.Streaming;

namespace StreamService.Tests.Api;

public sealed class UrlPartsTests
{
    [Theory]
    [InlineData("/domains/a/disks/vda", "vda")]
    [InlineData("/domains/a/disks/vda/map?buckets=4", "vda")]
    [InlineData("/Domains/a/Disks/vda/status", "vda")]
    [InlineData("/domains/a/disks/%2Fvar%2Flib%2Fa.qcow2/status", "/var/lib/a.qcow2")]
    [InlineData("/domains/a/disks/%2fa%20b", "/a b")]
    [InlineData("/domains/a/disks/%2Fa%252Fb", "/a%2Fb")] // a file whose name has a literal %2F
    [InlineData("/domains/a/disks/%252Fa", "%2Fa")]
    [InlineData("/domains/a/disks/nbd%3A%2F%2Fhost%3A10809%2Fdisks%2Fx?x=/disks/y", "nbd://host:10809/disks/x")]
    [InlineData("/domains/a/disks/%C3%A4", "ä")]
    [InlineData("/domains/a/disks/a+b", "a+b")]
    [InlineData("/domains/disks/disks/vda", "vda")]
    [InlineData("/domains/domains/disks/vda", "vda")]
    [InlineData("http://host/domains/a/disks/%2Fx/map", "/x")]
    [InlineData("/domains/x/../a/disks/vdb", "of the route")]
    public void Disk_path_is_decoded_once_from_the_raw_target(string rawTarget, string path)
    {
        var context = new DefaultHttpContext();
        context.Features.Get<IHttpRequestFeature>()!.RawTarget = rawTarget;
        context.Request.RouteValues["path"] = "of the route";
        Assert.Equal(path, DiskPath.Decode(context));
    }

    [Fact]
    public void Status_URL_leads_back_to_the_disk()
    {
        var disk = new DiskAddress("local", Guid.NewGuid(), "sd a/%");
        var context = new DefaultHttpContext();
        context.Features.Get<IHttpRequestFeature>()!.RawTarget = DiskPath.StatusUrl(disk);
        Assert.Equal(disk.Target, DiskPath.Decode(context));
    }

    [Fact]
    public void Cursor_is_read_as_it_was_written_and_fits_in_a_query_as_it_is()
    {
        var parts = new[] { "host ä", "name/%?&", Guid.NewGuid().ToString() };
        var cursor = Cursor.Write(parts);
        Assert.Equal(parts, Cursor.Read(cursor, 3));
        Assert.Equal(Uri.EscapeDataString(cursor), cursor);
        Assert.Null(Cursor.Read(null, 3));
        Assert.Null(Cursor.Read("", 3));
    }

    [Theory]
    [InlineData("%")]
    [InlineData("a b")]
    [InlineData("AAAAA")]
    [InlineData("YQ")] // one part
    public void Foreign_cursor_is_refused(string cursor)
    {
        Assert.Equal(["cursor"], Assert.Throws<InvalidRequestException>(() => Cursor.Read(cursor, 2)).Errors.Keys);
    }
}
