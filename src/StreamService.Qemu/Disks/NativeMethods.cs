using System.Runtime.InteropServices;

namespace StreamService.Qemu.Disks;

/// <summary>What .NET has no call for: what kind of file a path is without opening it, its inode, its path without links.</summary>
internal static partial class NativeMethods
{
    /// <summary>AT_FDCWD and AT_SYMLINK_NOFOLLOW of Linux.</summary>
    internal const int CurrentFolder = -100;
    internal const int NoFollow = 0x100;

    /// <summary>STATX_TYPE | STATX_MTIME | STATX_INO | STATX_SIZE | STATX_BLOCKS.</summary>
    internal const uint Wanted = 0x1 | 0x40 | 0x100 | 0x200 | 0x400;

    /// <summary>What <see cref="ExtendedStatus.Blocks"/> counts, whatever the file system's own blocks are.</summary>
    internal const int BlockSize = 512;

    /// <summary>S_IFMT, S_IFREG and S_IFLNK.</summary>
    internal const ushort KindMask = 0xF000;
    internal const ushort RegularFile = 0x8000;
    internal const ushort SymbolicLink = 0xA000;

    /// <summary>ENOENT and ENOTDIR of Linux.</summary>
    internal const int NoEntry = 2;
    internal const int NotFolder = 20;

    /// <summary>PATH_MAX of Linux, for what realpath writes.</summary>
    internal const int LongestPath = 4096;

    /// <summary>struct statx, the same on every architecture (statx(2)); only the members that are asked for.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct ExtendedStatus
    {
        [FieldOffset(28)]
        internal ushort Mode;

        [FieldOffset(32)]
        internal ulong Inode;

        [FieldOffset(40)]
        internal ulong Size;

        [FieldOffset(48)]
        internal ulong Blocks;

        [FieldOffset(112)]
        internal long ModifiedSeconds;

        [FieldOffset(120)]
        internal uint ModifiedNanoseconds;
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int statx(int folder, string path, int flags, uint mask, out ExtendedStatus status);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint realpath(string path, [Out] byte[] resolved);
}
