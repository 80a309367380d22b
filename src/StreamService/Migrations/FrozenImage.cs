using System.Text.Json.Nodes;
using StreamService.Hypervisors;

namespace StreamService.Migrations;

/// <summary>A frozen image in the words of QEMU's block layer.</summary>
public static class FrozenImage
{
    /// <summary>
    /// The image and what is below it, each with its format, so that QEMU guesses none: a guest could otherwise have written
    /// another format's header into a raw disk. Where the chain leaves the file system, the image's own header tells the rest.
    /// </summary>
    /// <returns>A name that QEMU's programs take in place of a file's.</returns>
    public static string Describe(string path, string format, IReadOnlyList<ChainImage> backing)
    {
        JsonObject? below = null;
        var known = true;
        foreach (var image in backing.Reverse())
        {
            if (!Path.IsPathRooted(image.Source))
            {
                known = false;
                below = null;
                continue;
            }
            below = Layer(image.Source, image.Format, below, known);
            known = true;
        }
        return "json:" + Layer(path, format, below, known).ToJsonString();
    }

    private static JsonObject Layer(string path, string format, JsonObject? below, bool belowKnown)
    {
        var layer = new JsonObject
        {
            ["driver"] = format,
            ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = path },
        };
        if (format != "raw" && belowKnown)
            layer["backing"] = below;
        return layer;
    }
}
