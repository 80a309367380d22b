using System.Text.Json;

namespace StreamService.Qemu.Disks;

/// <summary>The path or URI of an image, from the file name that QEMU makes of its node.</summary>
public static class ImageSource
{
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 1024 };

    /// <summary>
    /// A plain name as it is. Where QEMU writes "json:" and all options of the node, what lies innermost on the way along
    /// "file": a path, or a URI for what is reached over the network; the text itself where it is of another kind.
    /// </summary>
    public static string Of(string filename)
    {
        if (!filename.StartsWith("json:", StringComparison.Ordinal))
            return filename;
        try
        {
            using var document = JsonDocument.Parse(filename.AsMemory(5), Options);
            var node = document.RootElement;
            while (node.ValueKind == JsonValueKind.Object && node.TryGetProperty("file", out var below) && below.ValueKind == JsonValueKind.Object)
                node = below;
            return node.ValueKind == JsonValueKind.Object ? Protocol(node) ?? filename : filename;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            return filename;
        }
    }

    private static string? Protocol(JsonElement node)
    {
        if (Text(node, "filename") is { } path)
            return path;
        if (Text(node, "url") is { } url)
            return url;
        if (Text(node, "driver") != "nbd")
            return null;
        var export = Uri.EscapeDataString(Text(node, "export") ?? "");
        if ((Text(node, "server.path") ?? Server(node, "path")) is { } socket)
            return $"nbd+unix:///{export}?socket={socket}";
        return (Text(node, "server.host") ?? Server(node, "host")) is { } host
            ? $"nbd://{host}:{Text(node, "server.port") ?? Server(node, "port") ?? "10809"}/{export}"
            : null;
    }

    private static string? Server(JsonElement node, string member) =>
        node.TryGetProperty("server", out var server) && server.ValueKind == JsonValueKind.Object ? Text(server, member) : null;

    private static string? Text(JsonElement node, string member) =>
        node.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
