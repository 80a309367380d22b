using System.Xml.Linq;

namespace StreamService.Qemu.Libvirt;

/// <summary>A disk's or layer's source element as one text: a path, or a URI for what is no local file.</summary>
internal static class SourceXml
{
    /// <param name="type">Of the disk or backingStore that the source stands in.</param>
    internal static string? Render(string? type, XElement? source) => source is null
        ? null
        : type switch
        {
            "file" or null => (string?)source.Attribute("file"),
            "block" => (string?)source.Attribute("dev"),
            "dir" => (string?)source.Attribute("dir"),
            "network" => RenderNetwork(source),
            "volume" => $"volume:{(string?)source.Attribute("pool")}/{(string?)source.Attribute("volume")}",
            _ => null,
        };

    /// <summary>protocol://host:port/name, or protocol+unix:///name?socket=path as NBD's URIs have it.</summary>
    private static string? RenderNetwork(XElement source)
    {
        if ((string?)source.Attribute("protocol") is not { Length: > 0 } protocol)
            return null;
        if (protocol == "nbd" && (string?)source.Attribute("tls") == "yes")
            protocol = "nbds";

        // More than one host means a cluster (rbd, gluster).
        var hosts = source.Elements("host").ToList();
        var socket = hosts.Select(host => (string?)host.Attribute("socket")).FirstOrDefault(path => path is not null);
        var name = string.Join('/', ((string?)source.Attribute("name") ?? "").TrimStart('/').Split('/').Select(Uri.EscapeDataString));
        var query = (string?)source.Attribute("query");
        if (socket is not null)
            return $"{protocol}+unix:///{name}?socket={EscapePath(socket)}";
        var authority = string.Join(',', hosts.Select(RenderHost));
        return $"{protocol}://{authority}/{name}{(query is null ? "" : "?" + query)}";
    }

    private static string RenderHost(XElement host)
    {
        var name = (string?)host.Attribute("name") ?? "";
        var port = (string?)host.Attribute("port");
        if (name.Contains(':', StringComparison.Ordinal) && !name.StartsWith('['))
            name = $"[{name}]";
        return port is null ? name : $"{name}:{port}";
    }

    private static string EscapePath(string path) => string.Join('/', path.Split('/').Select(Uri.EscapeDataString));
}
