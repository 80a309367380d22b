using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace StreamService.Deployment.Images;

/// <summary>An export of an NBD server, from any of the forms of URI in which QEMU, libvirt and people write it.</summary>
/// <param name="Socket">Path of a Unix socket; null for TCP.</param>
/// <param name="Host">Name or address without brackets, in small letters; empty with a socket.</param>
/// <param name="Export">Decoded; empty for the server's default.</param>
internal sealed record NbdExportUri(string? Socket, string Host, int Port, string Export)
{
    /// <summary>IANA's, and QEMU's where none is named.</summary>
    private const int DefaultPort = 10809;

    private const string TcpScheme = "nbd://";
    private const string UnixScheme = "nbd+unix://";
    private const string SocketOption = "socket=";

    /// <summary>Reads a URI; null for anything else, also for one with a user, TLS or options.</summary>
    public static NbdExportUri? Find(string text) =>
        text.StartsWith(TcpScheme, StringComparison.Ordinal) ? Tcp(text[TcpScheme.Length..])
        : text.StartsWith(UnixScheme, StringComparison.Ordinal) ? Unix(text[UnixScheme.Length..])
        : null;

    /// <summary>Where to connect to.</summary>
    public EndPoint EndPoint =>
        Socket is not null ? new UnixDomainSocketEndPoint(Socket)
        : IPAddress.TryParse(Host, out var address) ? new IPEndPoint(address, Port)
        : new DnsEndPoint(Host, Port);

    /// <summary>Whether both are exports of one server.</summary>
    public bool IsBeside(NbdExportUri other) => (Socket, Host, Port) == (other.Socket, other.Host, other.Port);

    /// <summary>The one form in which this service writes it, which QEMU takes.</summary>
    public override string ToString() => Socket is not null
        ? $"{UnixScheme}/{Uri.EscapeDataString(Export)}?{SocketOption}{string.Join('/', Socket.Split('/').Select(Uri.EscapeDataString))}"
        : string.Create(CultureInfo.InvariantCulture, $"{TcpScheme}{(Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host)}:{Port}/{Uri.EscapeDataString(Export)}");

    private static NbdExportUri? Tcp(string rest)
    {
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        var authority = slash < 0 ? rest : rest[..slash];
        var port = DefaultPort;
        // QEMU writes ::1:10809, without brackets.
        if (authority.LastIndexOf(':') is var colon and >= 0 && !authority.EndsWith(']'))
        {
            if (!int.TryParse(authority[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out port) || port is < 1 or > ushort.MaxValue)
                return null;
            authority = authority[..colon];
        }
        var host = authority.StartsWith('[') && authority.EndsWith(']') ? authority[1..^1] : authority;
        return Uri.CheckHostName(host) is UriHostNameType.Dns or UriHostNameType.IPv4 or UriHostNameType.IPv6 && ExportOf(slash < 0 ? "" : rest[slash..]) is { } export
            ? new NbdExportUri(null, host.ToLowerInvariant(), port, export)
            : null;
    }

    private static NbdExportUri? Unix(string rest)
    {
        if (!rest.StartsWith('/') || rest.Split('?') is not [var path, var query] || !query.StartsWith(SocketOption, StringComparison.Ordinal)
            || query.AsSpan().ContainsAny('&', ';', '#'))
            return null;
        var socket = Uri.UnescapeDataString(query[SocketOption.Length..]);
        return IsSocketPath(socket) && ExportOf(path) is { } export ? new NbdExportUri(socket, "", 0, export) : null;
    }

    private static string? ExportOf(string path) => path.AsSpan().ContainsAny('?', '#') ? null : Uri.UnescapeDataString(path.TrimStart('/'));

    private static bool IsSocketPath(string path)
    {
        try
        {
            return path.StartsWith('/') && !path.Contains('\0', StringComparison.Ordinal) && new UnixDomainSocketEndPoint(path) is not null;
        }
        catch (ArgumentOutOfRangeException)
        {
            // Longer than an address can be.
            return false;
        }
    }
}
