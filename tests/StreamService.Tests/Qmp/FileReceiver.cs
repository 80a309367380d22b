using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace StreamService.Tests.Qmp;

/// <summary>The other end of SCM_RIGHTS: recvmsg(2), on a 64-bit Linux.</summary>
internal static class FileReceiver
{
    /// <summary>Waits for a message, and takes the one file that came with it.</summary>
    public static SafeFileHandle Receive(Socket socket)
    {
        socket.Poll(TimeSpan.FromSeconds(20), SelectMode.SelectRead);
        var data = Marshal.AllocHGlobal(4096);
        var control = Marshal.AllocHGlobal(64);
        var vector = Marshal.AllocHGlobal(16);
        try
        {
            Marshal.WriteIntPtr(vector, data);
            Marshal.WriteIntPtr(vector, 8, 4096);
            var message = new MessageHeader { Vectors = vector, VectorCount = 1, Control = control, ControlLength = 64 };
            if (recvmsg((int)socket.Handle, ref message, 0) <= 0)
                throw new IOException($"recvmsg: {Marshal.GetLastPInvokeErrorMessage()}");
            // struct cmsghdr: a length of 8 bytes, level and type of 4 each; then the descriptor.
            if (message.ControlLength < 20 || Marshal.ReadInt32(control, 8) != 1 || Marshal.ReadInt32(control, 12) != 1)
                throw new IOException("No file came.");
            return new SafeFileHandle(Marshal.ReadInt32(control, 16), ownsHandle: true);
        }
        finally
        {
            Marshal.FreeHGlobal(data);
            Marshal.FreeHGlobal(control);
            Marshal.FreeHGlobal(vector);
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public nint Name;
        public uint NameLength;
        public nint Vectors;
        public nint VectorCount;
        public nint Control;
        public nint ControlLength;
        public int Flags;
    }

    [DllImport("libc", SetLastError = true)]
    private static extern nint recvmsg(int socket, ref MessageHeader message, int flags);
}
