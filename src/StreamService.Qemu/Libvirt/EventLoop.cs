using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace StreamService.Qemu.Libvirt;

/// <summary>
/// libvirt's event loop: one for the process, on a thread of its own, started with the first connection
/// and never stopped. libvirt needs it for events and for keepalive, and wants it registered before any
/// connection is opened (virEventRegisterDefaultImpl, libvirt-event.h).
/// </summary>
internal static unsafe class EventLoop
{
    private static readonly Lazy<bool> Started = new(Start);

    /// <exception cref="LibvirtException">libvirt cannot be initialized.</exception>
    internal static void EnsureStarted() => _ = Started.Value;

    private static bool Start()
    {
        if (NativeMethods.virInitialize() < 0)
            throw LibvirtException.FromLastError(nameof(NativeMethods.virInitialize));
        // Without a handler libvirt prints every error to stderr; here each becomes an exception.
        NativeMethods.virSetErrorFunc(0, &Ignore);
        if (NativeMethods.virEventRegisterDefaultImpl() < 0)
            throw LibvirtException.FromLastError(nameof(NativeMethods.virEventRegisterDefaultImpl));
        new Thread(Run) { IsBackground = true, Name = "libvirt events" }.Start();
        return true;
    }

    private static void Run()
    {
        using var never = new ManualResetEventSlim();
        while (true)
        {
            // Fails only where poll itself does (no memory, no descriptors): do not spin on that.
            if (NativeMethods.virEventRunDefaultImpl() < 0)
                never.Wait(TimeSpan.FromMilliseconds(100));
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Ignore(nint userData, VirError* error)
    {
    }
}
