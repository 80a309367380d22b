using System.Runtime.InteropServices;

namespace StreamService.Qemu.Qmp;

/// <summary>What .NET has no call for: passing open files over a Unix socket (unix(7), SCM_RIGHTS).</summary>
internal static unsafe partial class NativeMethods
{
    /// <summary>SOL_SOCKET and SCM_RIGHTS of Linux.</summary>
    internal const int SolSocket = 1;
    internal const int ScmRights = 1;

    /// <summary>MSG_DONTWAIT | MSG_NOSIGNAL of Linux.</summary>
    internal const int DontWaitNoSignal = 0x40 | 0x4000;

    /// <summary>EINTR and EAGAIN of Linux.</summary>
    internal const int Interrupted = 4;
    internal const int TryAgain = 11;

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        internal byte* Base;
        internal nuint Length;
    }

    /// <summary>struct msghdr of a 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct MessageHeader
    {
        internal void* Name;
        internal uint NameLength;
        internal IoVector* Vectors;
        internal nuint VectorCount;
        internal void* Control;
        internal nuint ControlLength;
        internal int Flags;
    }

    /// <summary>struct cmsghdr of a 64-bit Linux; the descriptors follow.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct ControlHeader
    {
        internal nuint Length;
        internal int Level;
        internal int Type;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint sendmsg(SafeHandle socket, MessageHeader* message, int flags);
}
