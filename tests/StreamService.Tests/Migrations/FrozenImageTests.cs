using System.Text.Json;
using StreamService.Hypervisors;
using StreamService.Migrations;

namespace StreamService.Tests.Migrations;

public sealed class FrozenImageTests
{
    [Fact]
    public void A_raw_image_is_opened_as_raw_whatever_it_holds()
    {
        var image = Parse("/a,b \"c\".raw", "raw");
        Assert.Equal("raw", image.GetProperty("driver").GetString());
        Assert.Equal("/a,b \"c\".raw", image.GetProperty("file").GetProperty("filename").GetString());
        Assert.False(image.TryGetProperty("backing", out _));
    }

    [Fact]
    public void Every_layer_has_its_format()
    {
        var image = Parse("/top.qcow2", "qcow2", new("/middle.qed", "qed"), new("/base.raw", "raw"));
        var middle = image.GetProperty("backing");
        Assert.Equal(("qed", "/middle.qed"), (middle.GetProperty("driver").GetString(), middle.GetProperty("file").GetProperty("filename").GetString()));
        Assert.Equal("raw", middle.GetProperty("backing").GetProperty("driver").GetString());
    }

    [Fact]
    public void An_image_without_backing_image_gets_none_from_its_header() =>
        Assert.Equal(JsonValueKind.Null, Parse("/top.qcow2", "qcow2").GetProperty("backing").ValueKind);

    [Fact]
    public void Where_the_chain_leaves_the_files_the_header_tells_the_rest()
    {
        var image = Parse("/top.qcow2", "qcow2", new("/middle.qcow2", "qcow2"), new("nbd://images:10809/base", "raw"));
        Assert.False(image.GetProperty("backing").TryGetProperty("backing", out _));
    }

    private static JsonElement Parse(string path, string format, params ChainImage[] backing)
    {
        var text = FrozenImage.Describe(path, format, backing);
        Assert.StartsWith("json:", text, StringComparison.Ordinal);
        return JsonDocument.Parse(text["json:".Length..]).RootElement;
    }
}
