using StreamService.Hypervisors;
using StreamService.Qemu.Libvirt;
using StreamService.Qemu.Qmp;

namespace StreamService.Tests.Hypervisors;

public sealed class LibvirtErrorsTests
{
    public static TheoryData<Exception, Type?> Errors => new()
    {
        { new LibvirtException(LibvirtErrorCode.NoConnect, "Failed to connect socket"), typeof(HostUnreachableException) },
        { new LibvirtException(LibvirtErrorCode.Rpc, "client socket is closed"), typeof(HostUnreachableException) },
        { new LibvirtException(LibvirtErrorCode.OperationTimeout, "no answer in 5 s"), typeof(HostUnreachableException) },
        { new LibvirtException(LibvirtErrorCode.NoDomain, "Domain not found"), typeof(DomainNotFoundException) },
        { new LibvirtException(LibvirtErrorCode.OperationInvalid, "Requested operation is not valid: domain is not running"), typeof(DomainNotRunningException) },
        { new LibvirtException(LibvirtErrorCode.SystemError, "Unable to read from monitor: Connection reset by peer"), typeof(DomainNotRunningException) },
        { new LibvirtException(LibvirtErrorCode.OperationInvalid, "block copy still active"), typeof(HypervisorException) },
        { new QmpCommandException("nbd-server-start", "GenericError", "NBD server already running"), typeof(HypervisorException) },
        { new ObjectDisposedException(typeof(LibvirtConnection).FullName), typeof(HostUnreachableException) },
        { new ObjectDisposedException(typeof(DomainHandle).FullName), typeof(HostUnreachableException) },
        { new ObjectDisposedException(typeof(CancellationTokenSource).FullName), null },
        { new InvalidOperationException("a bug"), null },
    };

    [Theory]
    [MemberData(nameof(Errors))]
    public void Each_error_says_who_is_at_fault(Exception error, Type? expected) =>
        Assert.Equal(expected, LibvirtErrors.Translate(error, "local", Guid.NewGuid())?.GetType());

    [Fact]
    public void Class_and_words_of_a_refusal_are_kept()
    {
        var refused = Assert.IsType<HypervisorException>(LibvirtErrors.Translate(new QmpCommandException("x", "DeviceNotFound", "no such device"), "local", null));
        Assert.Equal(("DeviceNotFound", "no such device"), (refused.ErrorClass, refused.Text));
    }
}
