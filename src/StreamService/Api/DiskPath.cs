using Microsoft.AspNetCore.Http.Features;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>The only decoder of <c>{path}</c>, and the only writer of a disk's URLs.</summary>
public static class DiskPath
{
    /// <summary>
    /// The disk as the caller wrote it: a target (<c>vda</c>), or a source path percent-encoded
    /// (<c>%2Fvar%2Flib%2Fa.qcow2</c>).
    /// </summary>
    /// <remarks>
    /// Routing decodes every escape but %2F, after which a literal "%2F" of a file's name could not be told from an
    /// encoded slash; so the raw request target is read.
    /// </remarks>
    public static string Decode(HttpContext context)
    {
        var target = context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";
        var segments = target.Split('?', 2)[0].Split('/');
        // domains/{id}/disks/{path}: by its place, for a domain may be called "disks".
        for (var i = 0; i + 3 < segments.Length; i++)
            if (Is(segments[i], "domains") && Is(segments[i + 2], "disks"))
                return Uri.UnescapeDataString(segments[i + 3]);
        return (string?)context.GetRouteValue("path") ?? "";

        static bool Is(string segment, string name) => segment.Equals(name, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The URL at which the disk's status is found.</summary>
    public static string StatusUrl(DiskAddress disk) => $"/domains/{disk.Domain}/disks/{Uri.EscapeDataString(disk.Target)}/status";
}
