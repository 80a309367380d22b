using System.Runtime.InteropServices;

namespace StreamService.Qemu.Libvirt;

/// <summary>
/// The functions of libvirt used here, name for name (libvirt/libvirt-host.h, libvirt-domain.h,
/// libvirt-domain-snapshot.h, libvirt-storage.h, libvirt-stream.h, libvirt-event.h, virterror.h and libvirt-qemu.h).
/// Nothing is checked: callers go through <see cref="LibvirtConnection"/>, <see cref="LibvirtDomain"/> and
/// <see cref="LibvirtFolder"/>.
/// </summary>
/// <remarks>C's <c>unsigned long</c> is <see cref="nuint"/>: the two agree on every Linux ABI.</remarks>
internal static unsafe partial class NativeMethods
{
    private const string Lib = "libvirt.so.0";
    private const string QemuLib = "libvirt-qemu.so.0";

    // Process-wide.

    [LibraryImport(Lib)]
    internal static partial int virInitialize();

    [LibraryImport(Lib)]
    internal static partial VirError* virGetLastError();

    [LibraryImport(Lib)]
    internal static partial void virSetErrorFunc(
        nint userData, delegate* unmanaged[Cdecl]<nint, VirError*, void> handler);

    [LibraryImport(Lib)]
    internal static partial void virTypedParamsFree(VirTypedParameter* @params, int nparams);

    [LibraryImport(Lib)]
    internal static partial int virEventRegisterDefaultImpl();

    [LibraryImport(Lib)]
    internal static partial int virEventRunDefaultImpl();

    // Connection.

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial ConnectHandle virConnectOpen(string name);

    [LibraryImport(Lib)]
    internal static partial int virConnectClose(nint conn);

    [LibraryImport(Lib)]
    internal static partial int virConnectIsAlive(ConnectHandle conn);

    [LibraryImport(Lib)]
    internal static partial int virConnectSetKeepAlive(ConnectHandle conn, int interval, uint count);

    [LibraryImport(Lib)]
    internal static partial int virConnectRegisterCloseCallback(
        ConnectHandle conn,
        delegate* unmanaged[Cdecl]<nint, int, nint, void> cb,
        nint opaque,
        delegate* unmanaged[Cdecl]<nint, void> freecb);

    [LibraryImport(Lib)]
    internal static partial int virConnectUnregisterCloseCallback(
        ConnectHandle conn, delegate* unmanaged[Cdecl]<nint, int, nint, void> cb);

    [LibraryImport(Lib)]
    internal static partial int virConnectDomainEventRegisterAny(
        ConnectHandle conn, nint dom, int eventID, void* cb, nint opaque,
        delegate* unmanaged[Cdecl]<nint, void> freecb);

    [LibraryImport(Lib)]
    internal static partial int virConnectDomainEventDeregisterAny(ConnectHandle conn, int callbackID);

    [LibraryImport(Lib)]
    internal static partial byte* virConnectGetHostname(ConnectHandle conn);

    /// <summary>The answer is static text of the library: not to be freed.</summary>
    [LibraryImport(Lib)]
    internal static partial byte* virConnectGetType(ConnectHandle conn);

    [LibraryImport(Lib)]
    internal static partial int virConnectGetVersion(ConnectHandle conn, out nuint hvVer);

    [LibraryImport(Lib)]
    internal static partial int virConnectGetLibVersion(ConnectHandle conn, out nuint libVer);

    [LibraryImport(Lib)]
    internal static partial int virConnectGetAllDomainStats(
        ConnectHandle conn, uint stats, out VirDomainStatsRecord** retStats, uint flags);

    [LibraryImport(Lib)]
    internal static partial void virDomainStatsRecordListFree(VirDomainStatsRecord** stats);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial byte* virConnectGetDomainCapabilities(
        ConnectHandle conn, string? emulatorbin, string? arch, string? machine, string? virttype, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virConnectCompareHypervisorCPU(
        ConnectHandle conn, string? emulator, string? arch, string? machine, string? virttype, string xmlCPU, uint flags);

    // Domain.

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial DomainHandle virDomainCreateXML(ConnectHandle conn, string xmlDesc, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial DomainHandle virDomainLookupByUUIDString(ConnectHandle conn, string uuidstr);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial DomainHandle virDomainLookupByName(ConnectHandle conn, string name);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial DomainHandle virDomainDefineXMLFlags(ConnectHandle conn, string xml, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virDomainFree(nint domain);

    /// <summary>The answer belongs to the domain object: not to be freed.</summary>
    [LibraryImport(Lib)]
    internal static partial byte* virDomainGetName(nint domain);

    /// <param name="buf">Takes 37 bytes, VIR_UUID_STRING_BUFLEN.</param>
    [LibraryImport(Lib)]
    internal static partial int virDomainGetUUIDString(nint domain, byte* buf);

    [LibraryImport(Lib)]
    internal static partial uint virDomainGetID(nint domain);

    [LibraryImport(Lib)]
    internal static partial int virDomainGetState(DomainHandle domain, out int state, out int reason, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virDomainIsPersistent(DomainHandle dom);

    [LibraryImport(Lib)]
    internal static partial int virDomainGetAutostart(DomainHandle domain, out int autostart);

    [LibraryImport(Lib)]
    internal static partial int virDomainSetAutostart(DomainHandle domain, int autostart);

    [LibraryImport(Lib)]
    internal static partial byte* virDomainGetXMLDesc(DomainHandle domain, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virDomainCreate(DomainHandle domain);

    [LibraryImport(Lib)]
    internal static partial int virDomainDestroy(DomainHandle domain);

    [LibraryImport(Lib)]
    internal static partial int virDomainSuspend(DomainHandle domain);

    [LibraryImport(Lib)]
    internal static partial int virDomainResume(DomainHandle domain);

    [LibraryImport(Lib)]
    internal static partial int virDomainUndefineFlags(DomainHandle domain, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainGetBlockInfo(
        DomainHandle domain, string disk, out VirDomainBlockInfo info, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainBlockStatsFlags(
        DomainHandle domain, string disk, VirTypedParameter* @params, ref int nparams, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainBlockPull(DomainHandle domain, string disk, nuint bandwidth, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainBlockRebase(
        DomainHandle domain, string disk, string? @base, nuint bandwidth, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainBlockCommit(
        DomainHandle dom, string disk, string? @base, string? top, nuint bandwidth, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainGetBlockJobInfo(
        DomainHandle domain, string disk, out VirDomainBlockJobInfo info, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainBlockJobAbort(DomainHandle domain, string disk, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainBlockJobSetSpeed(
        DomainHandle domain, string disk, nuint bandwidth, uint flags);

    [LibraryImport(Lib)]
    internal static partial DomainHandle virDomainMigrate3(
        DomainHandle domain, ConnectHandle dconn, VirTypedParameter* @params, uint nparams, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainMigrateToURI3(
        DomainHandle domain, string? dconnuri, VirTypedParameter* @params, uint nparams, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virDomainGetJobStats(
        DomainHandle domain, out int type, out VirTypedParameter* @params, out int nparams, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virDomainAbortJob(DomainHandle domain);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial SnapshotHandle virDomainSnapshotCreateXML(
        DomainHandle domain, string xmlDesc, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virDomainSnapshotFree(nint snapshot);

    // Storage.

    [LibraryImport(Lib)]
    internal static partial int virConnectListAllStoragePools(ConnectHandle conn, out nint* pools, uint flags);

    /// <summary>Finds active pools only.</summary>
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial StoragePoolHandle virStoragePoolLookupByTargetPath(ConnectHandle conn, string path);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial StoragePoolHandle virStoragePoolCreateXML(ConnectHandle conn, string xmlDesc, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virStoragePoolCreate(StoragePoolHandle pool, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virStoragePoolDestroy(StoragePoolHandle pool);

    [LibraryImport(Lib)]
    internal static partial int virStoragePoolFree(nint pool);

    [LibraryImport(Lib)]
    internal static partial int virStoragePoolRefresh(StoragePoolHandle pool, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virStoragePoolIsPersistent(StoragePoolHandle pool);

    /// <summary>The answer belongs to the pool object: not to be freed.</summary>
    [LibraryImport(Lib)]
    internal static partial byte* virStoragePoolGetName(StoragePoolHandle pool);

    [LibraryImport(Lib)]
    internal static partial int virStoragePoolGetInfo(StoragePoolHandle pool, out VirStoragePoolInfo info);

    [LibraryImport(Lib)]
    internal static partial byte* virStoragePoolGetXMLDesc(StoragePoolHandle pool, uint flags);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial StorageVolHandle virStorageVolLookupByName(StoragePoolHandle pool, string name);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial StorageVolHandle virStorageVolCreateXML(StoragePoolHandle pool, string xmlDesc, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virStorageVolUpload(
        StorageVolHandle vol, StreamHandle stream, ulong offset, ulong length, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virStorageVolDelete(StorageVolHandle vol, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virStorageVolFree(nint vol);

    [LibraryImport(Lib)]
    internal static partial StreamHandle virStreamNew(ConnectHandle conn, uint flags);

    [LibraryImport(Lib)]
    internal static partial int virStreamSend(StreamHandle st, byte* data, nuint nbytes);

    [LibraryImport(Lib)]
    internal static partial int virStreamFinish(StreamHandle st);

    [LibraryImport(Lib)]
    internal static partial int virStreamAbort(StreamHandle st);

    [LibraryImport(Lib)]
    internal static partial int virStreamFree(nint st);

    // libvirt-qemu.

    [LibraryImport(QemuLib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainQemuMonitorCommand(
        DomainHandle domain, string cmd, out byte* result, uint flags);

    /// <summary>Since libvirt 8.2.0.</summary>
    [LibraryImport(QemuLib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virDomainQemuMonitorCommandWithFiles(
        DomainHandle domain, string cmd,
        uint ninfiles, int* infiles,
        out uint noutfiles, out int* outfiles,
        out byte* result, uint flags);

    [LibraryImport(QemuLib, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int virConnectDomainQemuMonitorEventRegister(
        ConnectHandle conn, nint dom, string @event,
        delegate* unmanaged[Cdecl]<nint, nint, byte*, long, uint, byte*, nint, void> cb, nint opaque,
        delegate* unmanaged[Cdecl]<nint, void> freecb, uint flags);

    [LibraryImport(QemuLib)]
    internal static partial int virConnectDomainQemuMonitorEventDeregister(ConnectHandle conn, int callbackID);
}
