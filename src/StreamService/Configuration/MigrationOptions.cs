using System.Globalization;

namespace StreamService.Configuration;

/// <summary>How domains migrate, and how hosts export disks to other machines.</summary>
public sealed class MigrationOptions
{
    /// <summary>The TCP ports of such exports on every host, <c>first-last</c>.</summary>
    public string Ports { get; set; } = "10810-10909";

    /// <summary>How they are protected.</summary>
    public MigrationTlsOptions Tls { get; init; } = new();

    /// <summary>For so long the destination's QEMU holds a guest's requests back while the source cannot be reached; then they fail.</summary>
    public TimeSpan ReconnectDelay { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Before the switch a host may be away for so long; then the migration goes back.</summary>
    public TimeSpan GiveUpAfter { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>The ports of <see cref="Ports"/>; none where it is not valid.</summary>
    internal IEnumerable<int> PortNumbers
    {
        get
        {
            var (first, last) = FindRange() ?? (0, -1);
            return Enumerable.Range(first, last - first + 1);
        }
    }

    internal IEnumerable<string> Faults()
    {
        const string section = "StreamService:Migration";
        if (FindRange() is null)
            yield return $"{section}:{nameof(Ports)} '{Ports}' is not a range of ports between 1 and 65535, such as 10810-10909.";
        foreach (var fault in Tls.Faults())
            yield return $"{section}:{nameof(Tls)}:{fault}";
        foreach (var (member, value) in new[] { (nameof(ReconnectDelay), ReconnectDelay), (nameof(GiveUpAfter), GiveUpAfter) })
            if (value < TimeSpan.FromSeconds(1) || value > TimeSpan.FromDays(1))
                yield return $"{section}:{member} is {value}, not a time from 1 second to 1 day.";
    }

    private (int First, int Last)? FindRange() =>
        Ports.Split('-') is [var from, var to] && Port(from) is { } first && Port(to) is { } last && first <= last ? (first, last) : null;

    private static int? Port(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and <= ushort.MaxValue ? port : null;
}

/// <summary>Certificates for exports to other machines.</summary>
public sealed class MigrationTlsOptions
{
    /// <summary>
    /// A folder, at the same path on every host, with files as QEMU wants them: <c>ca-cert.pem</c>, <c>server-cert.pem</c>,
    /// <c>server-key.pem</c>, <c>client-cert.pem</c>, <c>client-key.pem</c>. QEMU's user must be able to read them. Default: no TLS.
    /// </summary>
    public string Folder { get; set; } = "";

    internal bool IsConfigured => Folder.Length > 0;

    internal IEnumerable<string> Faults()
    {
        if (!IsConfigured)
            yield break;
        if (!Path.IsPathRooted(Folder))
        {
            yield return $"{nameof(Folder)} '{Folder}' is not an absolute path.";
            yield break;
        }
        // What this service itself needs. A host's server certificate is that host's.
        foreach (var name in new[] { "ca-cert.pem", "client-cert.pem", "client-key.pem" })
            if (!File.Exists(Path.Combine(Folder, name)))
                yield return $"{nameof(Folder)} '{Folder}' has no file {name}.";
    }
}
