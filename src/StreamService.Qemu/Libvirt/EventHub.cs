using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace StreamService.Qemu.Libvirt;

/// <summary>
/// The native callbacks of one connection, and those who wait for what they tell. The callbacks run on
/// libvirt's event thread: they copy what they are given and hand it on, and never call the daemon.
/// </summary>
internal sealed unsafe class EventHub
{
    // virDomainEventID of libvirt-domain.h.
    private const int EventIdLifecycle = 0;
    private const int EventIdDeviceRemoved = 15;
    private const int EventIdBlockJob2 = 16;
    private const int EventIdDeviceAdded = 19;

    private readonly TaskCompletionSource<LibvirtCloseReason> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<int> _callbackIds = [];
    private int _monitorCallbackId = -1;
    private ImmutableList<LibvirtSubscription> _subscriptions = [];
    private bool _closeRegistered;

    internal Task<LibvirtCloseReason> Closed => _closed.Task;

    /// <summary>Registers all callbacks. Native: to be called on a thread for that.</summary>
    /// <exception cref="LibvirtException">The hypervisor refuses one.</exception>
    internal void Register(ConnectHandle connection)
    {
        var self = NewReference();
        if (NativeMethods.virConnectRegisterCloseCallback(connection, &OnClose, self, &FreeReference) < 0)
            throw Refused(self, nameof(NativeMethods.virConnectRegisterCloseCallback));
        _closeRegistered = true;

        Register(connection, EventIdLifecycle, (delegate* unmanaged[Cdecl]<nint, nint, int, int, nint, int>)&OnLifecycle);
        Register(connection, EventIdBlockJob2, (delegate* unmanaged[Cdecl]<nint, nint, byte*, int, int, nint, void>)&OnBlockJob);
        Register(connection, EventIdDeviceAdded, (delegate* unmanaged[Cdecl]<nint, nint, byte*, nint, void>)&OnDeviceAdded);
        Register(connection, EventIdDeviceRemoved, (delegate* unmanaged[Cdecl]<nint, nint, byte*, nint, void>)&OnDeviceRemoved);
        RegisterMonitorEvent(connection);
    }

    /// <summary>Undoes <see cref="Register(ConnectHandle)"/>: each callback holds the connection open. Native as well.</summary>
    internal void Unregister(ConnectHandle connection)
    {
        // Failures are of no interest: over a broken connection the local part is undone all the same.
        foreach (var id in _callbackIds)
            _ = NativeMethods.virConnectDomainEventDeregisterAny(connection, id);
        if (_monitorCallbackId >= 0)
            _ = NativeMethods.virConnectDomainQemuMonitorEventDeregister(connection, _monitorCallbackId);
        if (_closeRegistered)
            _ = NativeMethods.virConnectUnregisterCloseCallback(connection, &OnClose);
    }

    internal LibvirtSubscription Subscribe(int backlog)
    {
        var subscription = new LibvirtSubscription(
            backlog, gone => ImmutableInterlocked.Update(ref _subscriptions, static (list, one) => list.Remove(one), gone));
        ImmutableInterlocked.Update(ref _subscriptions, static (list, one) => list.Add(one), subscription);
        // Closed meanwhile: the one who closed may not have seen it.
        if (_closed.Task.IsCompleted)
            subscription.Complete();
        return subscription;
    }

    internal void Close(LibvirtCloseReason reason)
    {
        _closed.TrySetResult(reason);
        foreach (var subscription in _subscriptions)
            subscription.Complete();
    }

    internal void Post(LibvirtEvent happened)
    {
        foreach (var subscription in _subscriptions)
            subscription.Post(happened);
    }

    private void Register(ConnectHandle connection, int eventId, void* callback)
    {
        var self = NewReference();
        var id = NativeMethods.virConnectDomainEventRegisterAny(connection, 0, eventId, callback, self, &FreeReference);
        if (id < 0)
            throw Refused(self, nameof(NativeMethods.virConnectDomainEventRegisterAny));
        _callbackIds.Add(id);
    }

    /// <summary>A connection to another hypervisor than QEMU refuses it, and can do without.</summary>
    private void RegisterMonitorEvent(ConnectHandle connection)
    {
        var self = NewReference();
        _monitorCallbackId = NativeMethods.virConnectDomainQemuMonitorEventRegister(
            connection, 0, "BLOCK_JOB_COMPLETED", &OnBlockJobCompleted, self, &FreeReference, 0);
        if (_monitorCallbackId < 0)
            FreeHandle(self);
    }

    /// <summary>libvirt frees the reference itself only where it took it.</summary>
    private static LibvirtException Refused(nint reference, string function)
    {
        var error = LibvirtException.FromLastError(function);
        FreeHandle(reference);
        return error;
    }

    private nint NewReference() => GCHandle.ToIntPtr(GCHandle.Alloc(this));

    private static void FreeHandle(nint reference) => GCHandle.FromIntPtr(reference).Free();

    private static EventHub? Of(nint opaque) => GCHandle.FromIntPtr(opaque).Target as EventHub;

    private static string Text(byte* utf8) => Marshal.PtrToStringUTF8((nint)utf8) ?? "";

    // None of these may throw into native code, and nothing they call does: invalid UTF-8 is replaced,
    // a channel that is full or closed only answers false, waiters run elsewhere.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnClose(nint connection, int reason, nint opaque) =>
        Of(opaque)?.Close((LibvirtCloseReason)reason);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnLifecycle(nint connection, nint domain, int happened, int detail, nint opaque)
    {
        var (uuid, name) = DomainList.Identify(domain);
        Of(opaque)?.Post(new DomainLifecycleEvent(uuid, name, (DomainLifecycle)happened, detail));
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnBlockJob(nint connection, nint domain, byte* disk, int type, int status, nint opaque)
    {
        var (uuid, name) = DomainList.Identify(domain);
        Of(opaque)?.Post(new BlockJobEvent(uuid, name, Text(disk), (BlockJobType)type, (BlockJobStatus)status));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnBlockJobCompleted(nint connection, nint domain, byte* name, long seconds, uint micros, byte* details, nint opaque)
    {
        try
        {
            using var data = JsonDocument.Parse(Text(details));
            if (!data.RootElement.TryGetProperty("error", out var error) || !data.RootElement.TryGetProperty("device", out var job))
                return;
            var (uuid, domainName) = DomainList.Identify(domain);
            Of(opaque)?.Post(new BlockJobErrorEvent(uuid, domainName, job.GetString() ?? "", error.GetString() ?? ""));
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // Not as QEMU documents it: then the error is told without its text.
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnDeviceAdded(nint connection, nint domain, byte* alias, nint opaque)
    {
        var (uuid, name) = DomainList.Identify(domain);
        Of(opaque)?.Post(new DeviceAddedEvent(uuid, name, Text(alias)));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnDeviceRemoved(nint connection, nint domain, byte* alias, nint opaque)
    {
        var (uuid, name) = DomainList.Identify(domain);
        Of(opaque)?.Post(new DeviceRemovedEvent(uuid, name, Text(alias)));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void FreeReference(nint opaque) => GCHandle.FromIntPtr(opaque).Free();
}
