using System.Net;
using System.Net.Security;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>Where the NBD server of one QEMU listens, and how this service gets there.</summary>
internal abstract class NbdListener
{
    /// <summary>Where clients connect, once it is open.</summary>
    public abstract EndPoint EndPoint { get; }

    /// <summary>With what clients connect; null for plain text.</summary>
    public virtual SslClientAuthenticationOptions? FindTls() => null;

    /// <summary>Whether a server without any export can only be one that a killed service left there.</summary>
    public abstract Task<bool> IsLeftOverAsync(IQmpMonitor monitor, QemuCapabilities capabilities, CancellationToken cancellationToken);

    /// <summary>Starts QEMU's NBD server.</summary>
    /// <exception cref="QmpCommandException">It runs already, or cannot listen.</exception>
    /// <exception cref="ExportUnavailableException">There is no place for it to listen.</exception>
    public abstract Task OpenAsync(IQmpMonitor monitor, QemuCapabilities capabilities, CancellationToken cancellationToken);

    /// <summary>Removes what is left once the server is stopped.</summary>
    public abstract Task CloseAsync(IQmpMonitor monitor, CancellationToken cancellationToken);
}
