using System.Collections.Concurrent;
using Microsoft.Win32.SafeHandles;

namespace StreamService.Qemu.Libvirt;

/// <summary>A virConnectPtr: one of libvirt's references to the connection.</summary>
internal sealed class ConnectHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle()
    {
        var pointer = handle;
        HandleReaper.Post(() => _ = NativeMethods.virConnectClose(pointer));
        return true;
    }
}

/// <summary>A virDomainPtr.</summary>
internal sealed class DomainHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle()
    {
        var pointer = handle;
        HandleReaper.Post(() => _ = NativeMethods.virDomainFree(pointer));
        return true;
    }
}

/// <summary>A virDomainSnapshotPtr.</summary>
internal sealed class SnapshotHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle()
    {
        var pointer = handle;
        HandleReaper.Post(() => _ = NativeMethods.virDomainSnapshotFree(pointer));
        return true;
    }
}

/// <summary>A virStoragePoolPtr.</summary>
internal sealed class StoragePoolHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle()
    {
        var pointer = handle;
        HandleReaper.Post(() => _ = NativeMethods.virStoragePoolFree(pointer));
        return true;
    }
}

/// <summary>A virStorageVolPtr.</summary>
internal sealed class StorageVolHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle()
    {
        var pointer = handle;
        HandleReaper.Post(() => _ = NativeMethods.virStorageVolFree(pointer));
        return true;
    }
}

/// <summary>A virStreamPtr.</summary>
internal sealed class StreamHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle()
    {
        var pointer = handle;
        HandleReaper.Post(() => _ = NativeMethods.virStreamFree(pointer));
        return true;
    }
}

/// <summary>
/// The one thread that gives handles back to libvirt. Every object holds a reference to its connection,
/// and whoever drops the last one talks to the daemon, which may hang until the keepalive ends it: not
/// something for the finalizer thread or for a caller of Dispose to wait for.
/// </summary>
internal static class HandleReaper
{
    private static readonly BlockingCollection<Action> Queue = [];

    static HandleReaper() => new Thread(Run) { IsBackground = true, Name = "libvirt release" }.Start();

    internal static void Post(Action release) => Queue.Add(release);

    private static void Run()
    {
        foreach (var release in Queue.GetConsumingEnumerable())
            release();
    }
}
