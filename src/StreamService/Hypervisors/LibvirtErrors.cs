using StreamService.Qemu.Libvirt;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

/// <summary>The one place where libvirt's and QEMU's errors become this layer's.</summary>
internal static class LibvirtErrors
{
    // Of the codes that come with them none says it: how libvirt puts it that QEMU has ended, before the call or during it.
    private static readonly string[] EndOfQemu =
        ["domain is not running", "Unable to read from monitor", "Unable to write to monitor", "End of file from qemu monitor"];

    /// <summary>What the error means here; null for one that is neither libvirt's nor QEMU's.</summary>
    /// <param name="domain">The domain that the call was about, if it was about one.</param>
    public static Exception? Translate(Exception error, string host, Guid? domain) => error switch
    {
        LibvirtException { IsConnectionFailure: true } or LibvirtException { IsCallTimeout: true } => new HostUnreachableException(host, error.Message, error),
        // A call that was waiting for its turn when the connection was given up.
        ObjectDisposedException closed when closed.ObjectName.StartsWith(typeof(LibvirtConnection).Namespace!, StringComparison.Ordinal) => new HostUnreachableException(host, "The connection was closed.", error),
        LibvirtException { Code: LibvirtErrorCode.NoDomain } when domain is { } id => new DomainNotFoundException(id.ToString()),
        LibvirtException when domain is { } id && EndOfQemu.Any(words => error.Message.Contains(words, StringComparison.Ordinal)) => new DomainNotRunningException(id.ToString()),
        LibvirtException refused => new HypervisorException(refused.Code.ToString(), refused.Message, refused),
        QmpCommandException refused => new HypervisorException(refused.Class, refused.Description, refused),
        QmpException broken => new HypervisorException("Qmp", broken.Message, broken),
        _ => null,
    };
}
