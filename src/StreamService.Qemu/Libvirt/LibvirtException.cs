using System.Runtime.InteropServices;

namespace StreamService.Qemu.Libvirt;

/// <summary>Codes of libvirt's errors that are told apart here (virErrorNumber, libvirt/virterror.h). Others occur too.</summary>
public enum LibvirtErrorCode
{
    /// <summary>No error was left by the failing call.</summary>
    None = 0,

    /// <summary>VIR_ERR_INTERNAL_ERROR.</summary>
    InternalError = 1,

    /// <summary>VIR_ERR_NO_SUPPORT: this libvirt or this hypervisor lacks the function.</summary>
    NoSupport = 3,

    /// <summary>VIR_ERR_NO_CONNECT: the hypervisor cannot be reached.</summary>
    NoConnect = 5,

    /// <summary>VIR_ERR_INVALID_CONN.</summary>
    InvalidConnection = 6,

    /// <summary>VIR_ERR_INVALID_ARG.</summary>
    InvalidArgument = 8,

    /// <summary>VIR_ERR_OPERATION_FAILED.</summary>
    OperationFailed = 9,

    /// <summary>VIR_ERR_XML_ERROR: the description is malformed or incomplete.</summary>
    XmlError = 27,

    /// <summary>VIR_ERR_DOM_EXIST: a domain of that name or UUID is there already.</summary>
    DomainExists = 28,

    /// <summary>VIR_ERR_XML_DETAIL: it is not even XML.</summary>
    XmlDetail = 35,

    /// <summary>VIR_ERR_SYSTEM_ERROR: a system call failed; opening a socket, for one.</summary>
    SystemError = 38,

    /// <summary>VIR_ERR_RPC.</summary>
    Rpc = 39,

    /// <summary>VIR_ERR_NO_DOMAIN: no such domain, or it is gone.</summary>
    NoDomain = 42,

    /// <summary>VIR_ERR_AUTH_FAILED.</summary>
    AuthFailed = 45,

    /// <summary>VIR_ERR_NO_STORAGE_POOL: no such storage pool, or it is gone.</summary>
    NoStoragePool = 49,

    /// <summary>VIR_ERR_NO_STORAGE_VOL: no such file in the pool.</summary>
    NoStorageVolume = 50,

    /// <summary>VIR_ERR_OPERATION_INVALID: not in the domain's present state.</summary>
    OperationInvalid = 55,

    /// <summary>VIR_ERR_OPERATION_TIMEOUT: libvirt gave up waiting, or this library did.</summary>
    OperationTimeout = 68,

    /// <summary>VIR_ERR_CONFIG_UNSUPPORTED.</summary>
    ConfigUnsupported = 67,

    /// <summary>VIR_ERR_MIGRATE_PERSIST_FAILED: the domain runs on the destination, but is not defined there.</summary>
    MigratePersistFailed = 69,

    /// <summary>VIR_ERR_ARGUMENT_UNSUPPORTED.</summary>
    ArgumentUnsupported = 74,

    /// <summary>VIR_ERR_OPERATION_ABORTED: ended by a request; a migration by <see cref="LibvirtDomain.AbortJobAsync"/>.</summary>
    OperationAborted = 78,

    /// <summary>VIR_ERR_MIGRATE_UNSAFE: a disk's cache mode could lose what the guest has written.</summary>
    MigrateUnsafe = 81,

    /// <summary>VIR_ERR_OPERATION_UNSUPPORTED.</summary>
    OperationUnsupported = 84,

    /// <summary>VIR_ERR_BLOCK_COPY_ACTIVE: a block copy job is in the way.</summary>
    BlockCopyActive = 83,

    /// <summary>VIR_ERR_STORAGE_VOL_EXIST: a file of that name is there already.</summary>
    StorageVolumeExists = 90,

    /// <summary>VIR_ERR_CPU_INCOMPATIBLE: the host's CPU lacks something the domain's has.</summary>
    CpuIncompatible = 91,
}

/// <summary>libvirt refused a call, its daemon could not be reached, or a call took too long.</summary>
public sealed class LibvirtException : Exception
{
    // virErrorDomain of virterror.h: which part of libvirt raised the error.
    private const int VirFromRpc = 7;
    private const int VirFromRemote = 13;

    /// <summary>An error of this library's own: <see cref="Domain"/> is 0 (VIR_FROM_NONE).</summary>
    public LibvirtException(LibvirtErrorCode code, string message, Exception? innerException = null)
        : base(message, innerException)
    {
        Code = code;
        Level = 2;
    }

    private LibvirtException(LibvirtErrorCode code, int domain, int level, string message)
        : base(message)
    {
        Code = code;
        Domain = domain;
        Level = level;
    }

    /// <summary>What went wrong.</summary>
    public LibvirtErrorCode Code { get; }

    /// <summary>The part of libvirt that raised it (virErrorDomain; 10 is the QEMU driver), or 0.</summary>
    public int Domain { get; }

    /// <summary>virErrorLevel: 1 warning, 2 error.</summary>
    public int Level { get; }

    /// <summary>
    /// True where this library gave up waiting: libvirt may still carry the call out. It tells nothing of the daemon,
    /// since one QEMU that hangs is enough; where the daemon hangs, <see cref="LibvirtConnection.Closed"/> follows.
    /// </summary>
    public bool IsCallTimeout => Code == LibvirtErrorCode.OperationTimeout && Domain == 0;

    /// <summary>True where the daemon could not be reached or the connection to it is gone: another has to be opened.</summary>
    public bool IsConnectionFailure =>
        Domain is VirFromRpc or VirFromRemote
        || Code is LibvirtErrorCode.NoConnect or LibvirtErrorCode.InvalidConnection
            or LibvirtErrorCode.Rpc or LibvirtErrorCode.AuthFailed;

    /// <summary>Reads virGetLastError, which is kept per thread: to be called on the thread of the failed call.</summary>
    internal static unsafe LibvirtException FromLastError(string function)
    {
        var error = NativeMethods.virGetLastError();
        if (error is null || error->Code == 0)
            return new LibvirtException(LibvirtErrorCode.None, $"{function} failed and gave no reason.");
        var text = Marshal.PtrToStringUTF8((nint)error->Message) ?? $"{function} failed";
        return new LibvirtException((LibvirtErrorCode)error->Code, error->Domain, error->Level, text);
    }
}
