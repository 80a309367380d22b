using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;

namespace StreamService.Hypervisors;

/// <summary>TLS for NBD between machines: server and client prove by certificates of one authority who they are.</summary>
/// <param name="folder">Of the certificates; see <see cref="Configuration.MigrationTlsOptions.Folder"/>.</param>
internal sealed class NbdTls(string folder)
{
    /// <summary>The id of QEMU's object that holds a server's certificates.</summary>
    public const string ServerObjectId = "streamservice-tls";

    /// <summary>What QEMU makes that object from. Only who has a certificate of the authority's can connect.</summary>
    public JsonObject ServerObject => new()
    {
        ["qom-type"] = "tls-creds-x509",
        ["id"] = ServerObjectId,
        ["dir"] = folder,
        ["endpoint"] = "server",
        ["verify-peer"] = true,
    };

    /// <summary>How this service connects to a server, which must prove that it is <paramref name="host"/>. Reads the files anew.</summary>
    /// <exception cref="System.Security.Cryptography.CryptographicException">A file is not what it should be.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public SslClientAuthenticationOptions ClientFor(string host)
    {
        var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        trust.CustomTrustStore.ImportFromPemFile(Path.Combine(folder, "ca-cert.pem"));
        var certificate = Path.Combine(folder, "client-cert.pem");
        var chain = new X509Certificate2Collection();
        chain.ImportFromPemFile(certificate);
        return new SslClientAuthenticationOptions
        {
            TargetHost = host,
            CertificateChainPolicy = trust,
            ClientCertificateContext = SslStreamCertificateContext.Create(
                X509Certificate2.CreateFromPemFile(certificate, Path.Combine(folder, "client-key.pem")),
                [.. chain.Skip(1)],
                offline: true),
        };
    }
}
