using System.Runtime.InteropServices;

namespace StreamService.Qemu.Qmp;

/// <summary>Bytes and open files sent together over a Unix socket.</summary>
internal static unsafe class FilePassing
{
    /// <summary>SCM_MAX_FD of Linux.</summary>
    internal const int MaxFiles = 253;

    /// <summary>Sends what fits of <paramref name="bytes"/>, with all files attached to the first of them. Does not wait.</summary>
    /// <returns>Bytes sent; 0 where the socket takes none at the moment, and no file went either.</returns>
    /// <exception cref="QmpException">The socket is broken.</exception>
    internal static int TrySend(SafeHandle socket, ReadOnlySpan<byte> bytes, IReadOnlyList<SafeHandle> files)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(files.Count, MaxFiles);
        var held = 0;
        try
        {
            // The numbers must stay valid until the kernel has made its own references.
            var numbers = stackalloc int[files.Count];
            for (; held < files.Count; held++)
            {
                var added = false;
                files[held].DangerousAddRef(ref added);
                numbers[held] = (int)files[held].DangerousGetHandle();
            }
            return TrySend(socket, bytes, new ReadOnlySpan<int>(numbers, files.Count));
        }
        finally
        {
            while (held > 0)
                files[--held].DangerousRelease();
        }
    }

    private static int TrySend(SafeHandle socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<int> numbers)
    {
        // CMSG_LEN and CMSG_SPACE: the header is a multiple of the alignment already.
        var length = sizeof(NativeMethods.ControlHeader) + (numbers.Length * sizeof(int));
        var space = (length + sizeof(nuint) - 1) / sizeof(nuint) * sizeof(nuint);
        var control = stackalloc nuint[space / sizeof(nuint)];
        *(NativeMethods.ControlHeader*)control = new()
        {
            Length = (nuint)length,
            Level = NativeMethods.SolSocket,
            Type = NativeMethods.ScmRights,
        };
        numbers.CopyTo(new Span<int>((byte*)control + sizeof(NativeMethods.ControlHeader), numbers.Length));
        fixed (byte* first = bytes)
        {
            var vector = new NativeMethods.IoVector { Base = first, Length = (nuint)bytes.Length };
            var message = new NativeMethods.MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = (nuint)space };
            while (true)
            {
                var sent = NativeMethods.sendmsg(socket, &message, NativeMethods.DontWaitNoSignal);
                if (sent >= 0)
                    return (int)sent;
                switch (Marshal.GetLastPInvokeError())
                {
                    case NativeMethods.Interrupted:
                        continue;
                    case NativeMethods.TryAgain:
                        return 0;
                    case var error:
                        throw new QmpException($"Files could not be sent to QEMU's monitor: {Marshal.GetPInvokeErrorMessage(error)}.");
                }
            }
        }
    }
}
