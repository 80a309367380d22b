using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace StreamService.IntegrationTests.Harness;

internal sealed partial class TwoHosts
{
    /// <summary>Makes an authority, a server's certificate that holds for both hosts and a client's, as QEMU and libvirt want them.</summary>
    /// <returns>Their folder, which both hosts see.</returns>
    public string MakeCertificates()
    {
        var folder = Path.Combine(Folder, "tls");
        if (Directory.Exists(folder))
            return folder;
        Directory.CreateDirectory(folder);
        var (from, to) = (TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(1));
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=authority", authorityKey, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, critical: true));
        using var authority = request.CreateSelfSigned(from, to);
        File.WriteAllText(Path.Combine(folder, "ca-cert.pem"), authority.ExportCertificatePem());
        // Server authentication, client authentication (RFC 5280).
        foreach (var (name, purpose) in new[] { ("server", "1.3.6.1.5.5.7.3.1"), ("client", "1.3.6.1.5.5.7.3.2") })
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var leaf = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
            leaf.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, false, 0, critical: true));
            leaf.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
            leaf.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], critical: false));
            var names = new SubjectAlternativeNameBuilder();
            foreach (var host in new[] { 1, 2 })
            {
                names.AddDnsName($"h{host}");
                names.AddIpAddress(IPAddress.Parse($"10.77.0.{host}"));
            }
            leaf.CertificateExtensions.Add(names.Build());
            using var certificate = leaf.Create(authority, from, to, RandomNumberGenerator.GetBytes(16));
            File.WriteAllText(Path.Combine(folder, $"{name}-cert.pem"), certificate.ExportCertificatePem());
            File.WriteAllText(Path.Combine(folder, $"{name}-key.pem"), key.ExportPkcs8PrivateKeyPem());
        }
        // QEMU runs as another user.
        foreach (var file in Directory.EnumerateFiles(folder))
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        return folder;
    }

    /// <summary>Has both libvirts use those certificates for migrations and for NBD; they are restarted.</summary>
    public async Task UseCertificatesAsync()
    {
        foreach (var host in new[] { 1, 2 })
        {
            await File.AppendAllTextAsync(Path.Combine(Folder, Name(host), "etc", "qemu.conf"), $"""

                default_tls_x509_cert_dir = "{MakeCertificates()}"
                default_tls_x509_verify = 1

                """);
            await KillLibvirtdAsync(host);
            await StartLibvirtdAsync(host);
        }
    }
}
