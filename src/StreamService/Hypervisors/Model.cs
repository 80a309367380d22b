using System.Text.Json.Serialization;

namespace StreamService.Hypervisors;

/// <summary>Whether the service can talk to a host's hypervisor at the moment.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<HostState>))]
public enum HostState
{
    /// <summary>The connection is up; calls are answered.</summary>
    Connected,

    /// <summary>No connection; the service keeps trying, and <see cref="HostInfo.LastError"/> says why it fails.</summary>
    Unreachable,
}

/// <summary>What is known of one configured host.</summary>
/// <param name="Name">The name given to it in the configuration.</param>
/// <param name="Uri">Its hypervisor's address, for example <c>qemu:///system</c>.</param>
/// <param name="State">Whether calls to it are answered.</param>
/// <param name="Hypervisor">The hypervisor's kind, for example <c>QEMU</c>; null until first connected.</param>
/// <param name="HypervisorVersion">Its version, for example <c>7.2.22</c>.</param>
/// <param name="LibvirtVersion">The version of the libvirt daemon; null where there is none.</param>
/// <param name="LastError">Why the last attempt to connect or call failed; null while all is well.</param>
public sealed record HostInfo(
    string Name,
    string Uri,
    HostState State,
    string? Hypervisor,
    string? HypervisorVersion,
    string? LibvirtVersion,
    string? LastError);

/// <summary>What a domain is doing, in libvirt's terms (virDomainState).</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<DomainState>))]
public enum DomainState
{
    /// <summary>libvirt does not know.</summary>
    NoState,

    /// <summary>Its processors run.</summary>
    Running,

    /// <summary>It waits for a resource.</summary>
    Blocked,

    /// <summary>Its processors are stopped; the QEMU process is there.</summary>
    Paused,

    /// <summary>It is shutting down; the QEMU process is still there.</summary>
    ShuttingDown,

    /// <summary>No QEMU process.</summary>
    ShutOff,

    /// <summary>QEMU ended by a fault.</summary>
    Crashed,

    /// <summary>Suspended by the guest's power management; the QEMU process is there.</summary>
    Suspended,
}

/// <summary>One virtual machine on one host.</summary>
public sealed record DomainInfo(Guid Id, string Name, string Host, DomainState State, IReadOnlyList<DiskInfo> Disks)
{
    /// <summary>What its owner marked it with; see README, "Budgets".</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>Whether a QEMU process holds its disks.</summary>
    public bool IsActive => State is DomainState.Running or DomainState.Blocked or DomainState.Paused
        or DomainState.ShuttingDown or DomainState.Suspended;

    /// <summary>A QEMU process holds its disks, but a migration has it: nothing is known of its disks, and nothing can be done to them.</summary>
    public bool IsMigrating { get; init; }

    /// <summary>Whether the disk can be worked on: a QEMU process holds it, or the service can open its image.</summary>
    public bool CanOpen(DiskInfo disk) => IsActive || disk.OpensOffline;

    /// <summary>The disk with that target (<c>vda</c>) or that source path; null where there is none.</summary>
    public DiskInfo? FindDisk(string path) =>
        Disks.FirstOrDefault(disk => disk.Target == path) ?? Disks.FirstOrDefault(disk => disk.Source == path);
}

/// <summary>One image of a backing chain.</summary>
/// <param name="Source">Path or URI of the image.</param>
/// <param name="Format">Its format: qcow2, qed, raw.</param>
public sealed record ChainImage(string Source, string Format);

/// <summary>One disk of a domain.</summary>
/// <param name="Target">The name by which the domain's definition calls it: <c>vda</c>.</param>
/// <param name="Source">Path or URI of the active layer; null for an empty drive.</param>
/// <param name="Format">Format of the active layer.</param>
/// <param name="Size">What the guest sees, in bytes; 0 where it is not known.</param>
/// <param name="ClusterSize">Bytes that one populate step brings in at the least; null where the format has none.</param>
/// <param name="BackingChain">The images below the active layer, nearest first.</param>
/// <param name="ReadOnly">The guest cannot write it (a cdrom, for example).</param>
/// <param name="Streamable">It is writable, has a backing image, and a QEMU process holds it or its image can be opened without one.</param>
public sealed record DiskInfo(
    string Target,
    string? Source,
    string Format,
    long Size,
    int? ClusterSize,
    IReadOnlyList<ChainImage> BackingChain,
    bool ReadOnly,
    bool Streamable)
{
    /// <summary>The domain is shut off, and this service can open the image itself.</summary>
    public bool OpensOffline { get; init; }

    /// <summary>Why the image of a shut-off domain cannot be opened here; null where it can, where the domain runs, and where nobody asked.</summary>
    public string? OfflineObstacle { get; init; }

    /// <summary>
    /// At which depth <paramref name="baseImage"/> lies (the active layer is 1, its backing image 2),
    /// or <see cref="int.MaxValue"/> for null, where the whole chain is meant.
    /// </summary>
    /// <returns>Null where the chain does not hold that image.</returns>
    public int? DepthOf(string? baseImage)
    {
        if (baseImage is null)
            return int.MaxValue;
        for (var i = 0; i < BackingChain.Count; i++)
            if (BackingChain[i].Source == baseImage)
                return i + 2;
        return null;
    }
}

/// <summary>A block job of the hypervisor's own on a disk.</summary>
/// <param name="Type">What it does, in libvirt's words: pull, copy, commit, active-commit, backup.</param>
/// <param name="Offset">Bytes done.</param>
/// <param name="Length">Bytes in all; 0 while not known.</param>
public sealed record BlockJobInfo(string Type, long Offset, long Length);

/// <summary>Operations of one kind since the domain started.</summary>
/// <param name="Count">How many were completed.</param>
/// <param name="Time">The sum of the times that they took.</param>
public readonly record struct GuestOperations(long Count, TimeSpan Time)
{
    /// <summary>From a counter and a sum of times as QEMU keeps them.</summary>
    public static GuestOperations Of(long count, long nanoseconds) => new(count, TimeSpan.FromTicks(nanoseconds / TimeSpan.NanosecondsPerTick));

    public static GuestOperations operator -(GuestOperations later, GuestOperations earlier) =>
        new(later.Count - earlier.Count, later.Time - earlier.Time);
}

/// <summary>What the guest device has done since the domain started. Our own requests are not in it.</summary>
public readonly record struct GuestIo(GuestOperations Reads, GuestOperations Writes, GuestOperations Flushes)
{
    /// <summary>Operations of every kind.</summary>
    public long Operations => Reads.Count + Writes.Count + Flushes.Count;
}
