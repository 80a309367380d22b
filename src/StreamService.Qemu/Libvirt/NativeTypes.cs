using System.Runtime.InteropServices;

namespace StreamService.Qemu.Libvirt;

/// <summary>struct _virError of virterror.h, as far as it is read here.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct VirError
{
    public int Code;
    public int Domain;
    public byte* Message;
    public int Level;
}

/// <summary>struct _virDomainBlockInfo of libvirt-domain.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct VirDomainBlockInfo
{
    public ulong Capacity;
    public ulong Allocation;
    public ulong Physical;
}

/// <summary>struct _virDomainBlockJobInfo of libvirt-domain.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct VirDomainBlockJobInfo
{
    public int Type;
    public nuint Bandwidth;
    public ulong Cur;
    public ulong End;
}

/// <summary>struct _virDomainStatsRecord of libvirt-domain.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct VirDomainStatsRecord
{
    public nint Domain;
    public VirTypedParameter* Params;
    public int ParamCount;
}

/// <summary>struct _virStoragePoolInfo of libvirt-storage.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct VirStoragePoolInfo
{
    public int State;
    public ulong Capacity;
    public ulong Allocation;
    public ulong Available;
}

/// <summary>struct _virTypedParameter of libvirt-common.h: a name of at most 79 bytes, a type, a union of eight bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct VirTypedParameter
{
    /// <summary>VIR_TYPED_PARAM_FIELD_LENGTH of libvirt-common.h.</summary>
    public const int FieldLength = 80;

    public fixed byte Field[FieldLength];
    public int Type;
    public VirTypedParameterValue Value;
}

/// <summary>The union inside <see cref="VirTypedParameter"/>.</summary>
[StructLayout(LayoutKind.Explicit)]
internal unsafe struct VirTypedParameterValue
{
    [FieldOffset(0)] public int Int;
    [FieldOffset(0)] public uint UInt;
    [FieldOffset(0)] public long LLong;
    [FieldOffset(0)] public ulong ULLong;
    [FieldOffset(0)] public double Double;
    [FieldOffset(0)] public byte Boolean;
    [FieldOffset(0)] public byte* String;
}

/// <summary>virTypedParameterType of libvirt-common.h.</summary>
internal enum VirTypedParameterType
{
    Int = 1,
    UInt = 2,
    LLong = 3,
    ULLong = 4,
    Double = 5,
    Boolean = 6,
    String = 7,
}
