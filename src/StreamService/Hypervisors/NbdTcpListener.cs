using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using StreamService.Configuration;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>
/// A TCP port of another machine, for a QEMU there. Without TLS, whoever can connect to it can read the exported disks.
/// </summary>
/// <param name="host">That machine's name or address.</param>
/// <param name="options">The ports to take one from, and the certificates.</param>
internal sealed class NbdTcpListener(string host, MigrationOptions options) : NbdListener
{
    private readonly NbdTls? _tls = options.Tls.IsConfigured ? new NbdTls(options.Tls.Folder) : null;
    private IPEndPoint? _endPoint;

    /// <inheritdoc/>
    public override EndPoint EndPoint => _endPoint ?? throw new InvalidOperationException("The NBD server was not started.");

    /// <inheritdoc/>
    public override SslClientAuthenticationOptions? FindTls() => _tls?.ClientFor(host);

    /// <summary>
    /// No file tells here whose server it is. Others that start one, libvirt's migration and backup, export disks in the same
    /// breath; a domain that is migrating in is the one whose exports may not be there yet.
    /// </summary>
    public override async Task<bool> IsLeftOverAsync(IQmpMonitor monitor, QemuCapabilities capabilities, CancellationToken cancellationToken) =>
        await monitor.QueryStatusAsync(cancellationToken) != "inmigrate";

    /// <inheritdoc/>
    public override async Task OpenAsync(IQmpMonitor monitor, QemuCapabilities capabilities, CancellationToken cancellationToken)
    {
        var address = await ResolveAsync(cancellationToken);
        await CloseAsync(monitor, cancellationToken);
        if (_tls is not null)
            await monitor.ObjectAddAsync(_tls.ServerObject, cancellationToken);
        try
        {
            _endPoint = await StartAsync(monitor, address, cancellationToken);
        }
        catch
        {
            await CloseAsync(monitor, CancellationToken.None);
            throw;
        }
    }

    /// <inheritdoc/>
    public override async Task CloseAsync(IQmpMonitor monitor, CancellationToken cancellationToken)
    {
        if (_tls is null)
            return;
        try
        {
            await monitor.ObjectDelAsync(NbdTls.ServerObjectId, cancellationToken);
        }
        catch (QmpCommandException)
        {
            // There is none.
        }
    }

    private async Task<IPEndPoint> StartAsync(IQmpMonitor monitor, IPAddress address, CancellationToken cancellationToken)
    {
        QmpCommandException? inUse = null;
        foreach (var port in options.PortNumbers)
        {
            var endPoint = new IPEndPoint(address, port);
            try
            {
                await monitor.NbdServerStartAsync(endPoint, _tls is null ? null : NbdTls.ServerObjectId, maxConnections: 0, cancellationToken);
                return endPoint;
            }
            catch (QmpCommandException refused) when (refused.Description.Contains("in use", StringComparison.Ordinal))
            {
                // Another QEMU's, or another program's: EADDRINUSE in strerror's words.
                inUse = refused;
            }
        }
        throw new ExportUnavailableException("AddressInUse", $"Every port of {options.Ports} is in use on '{host}'.", inUse);
    }

    /// <summary>The address is found out here, for the other machine may know itself by another one, such as 127.0.1.1.</summary>
    private async Task<IPAddress> ResolveAsync(CancellationToken cancellationToken)
    {
        try
        {
            return (await Dns.GetHostAddressesAsync(host, cancellationToken))[0];
        }
        catch (SocketException exception)
        {
            throw new ExportUnavailableException("AddressNotFound", $"The address of '{host}' cannot be found: {exception.Message}", exception);
        }
    }
}
