namespace StreamService.Qemu.Libvirt;

/// <summary>virDomainState (libvirt-domain.h).</summary>
public enum DomainState
{
    /// <summary>Unknown to the hypervisor.</summary>
    NoState = 0,

    /// <summary>Running.</summary>
    Running = 1,

    /// <summary>Blocked on a resource.</summary>
    Blocked = 2,

    /// <summary>Paused by a user, a migration, an I/O error; the reason tells.</summary>
    Paused = 3,

    /// <summary>Being shut down.</summary>
    Shutdown = 4,

    /// <summary>Not running.</summary>
    ShutOff = 5,

    /// <summary>Crashed.</summary>
    Crashed = 6,

    /// <summary>Suspended by the guest's power management.</summary>
    PmSuspended = 7,
}

/// <summary>virDomainPausedReason (libvirt-domain.h): why a domain is <see cref="DomainState.Paused"/>.</summary>
public enum PausedReason
{
    /// <summary>Not known.</summary>
    Unknown = 0,

    /// <summary>By a user's request.</summary>
    User = 1,

    /// <summary>For a migration.</summary>
    Migration = 2,

    /// <summary>It is being saved.</summary>
    Save = 3,

    /// <summary>Its memory is being dumped.</summary>
    Dump = 4,

    /// <summary>A disk's I/O error.</summary>
    IoError = 5,

    /// <summary>Its watchdog.</summary>
    Watchdog = 6,

    /// <summary>Put back to a snapshot.</summary>
    FromSnapshot = 7,

    /// <summary>It is being shut down.</summary>
    ShuttingDown = 8,

    /// <summary>A snapshot is being made.</summary>
    Snapshot = 9,

    /// <summary>The guest has crashed.</summary>
    Crashed = 10,

    /// <summary>It is being started.</summary>
    StartingUp = 11,

    /// <summary>The source of a post-copy migration of memory: the guest runs on the destination.</summary>
    PostCopy = 12,

    /// <summary>A post-copy migration of memory has failed.</summary>
    PostCopyFailed = 13,
}

/// <summary>virDomainCreateFlags (libvirt-domain.h).</summary>
[Flags]
public enum DomainCreateOptions
{
    /// <summary>It runs, and on after the connection has ended.</summary>
    None = 0,

    /// <summary>Its virtual CPUs wait for <see cref="LibvirtDomain.ResumeAsync"/>.</summary>
    Paused = 1 << 0,

    /// <summary>It is destroyed when the connection that made it ends.</summary>
    AutoDestroy = 1 << 1,
}

/// <summary>virCPUCompareResult (libvirt-host.h).</summary>
public enum CpuComparison
{
    /// <summary>The host's CPU cannot run it.</summary>
    Incompatible = 0,

    /// <summary>The host's CPU is the same.</summary>
    Identical = 1,

    /// <summary>The host's CPU can do more.</summary>
    Superset = 2,
}

/// <summary>virDomainBlockCommitFlags (libvirt-domain.h).</summary>
[Flags]
public enum BlockCommitOptions
{
    /// <summary>Into the bottom of the chain where no base is named.</summary>
    None = 0,

    /// <summary>Into the layer right below where no base is named.</summary>
    Shallow = 1 << 0,

    /// <summary>Files that are no longer of use are deleted.</summary>
    Delete = 1 << 1,

    /// <summary>The top may be the active layer: the job then gets ready and waits to be pivoted.</summary>
    Active = 1 << 2,

    /// <summary>The chain's names stay relative.</summary>
    Relative = 1 << 3,

    /// <summary>The bandwidth is in bytes per second; always set.</summary>
    BandwidthBytes = 1 << 4,
}

/// <summary>virDomainBlockJobType (libvirt-domain.h).</summary>
public enum BlockJobType
{
    /// <summary>Unknown to this version of libvirt.</summary>
    Unknown = 0,

    /// <summary>virDomainBlockPull or virDomainBlockRebase without a copy: QEMU's block-stream.</summary>
    Pull = 1,

    /// <summary>virDomainBlockCopy.</summary>
    Copy = 2,

    /// <summary>virDomainBlockCommit below the active layer.</summary>
    Commit = 3,

    /// <summary>virDomainBlockCommit of the active layer.</summary>
    ActiveCommit = 4,

    /// <summary>virDomainBackupBegin.</summary>
    Backup = 5,
}

/// <summary>virConnectDomainEventBlockJobStatus (libvirt-domain.h).</summary>
public enum BlockJobStatus
{
    /// <summary>Ended well.</summary>
    Completed = 0,

    /// <summary>Ended in an error.</summary>
    Failed = 1,

    /// <summary>Ended by a request.</summary>
    Canceled = 2,

    /// <summary>A copy or an active commit is in step and can be pivoted to.</summary>
    Ready = 3,
}

/// <summary>virDomainXMLFlags (libvirt-domain.h).</summary>
[Flags]
public enum DomainXmlOptions
{
    /// <summary>A running domain's live description.</summary>
    None = 0,

    /// <summary>VIR_DOMAIN_XML_SECURE: with secrets; not over a read-only connection.</summary>
    Secure = 1 << 0,

    /// <summary>VIR_DOMAIN_XML_INACTIVE: what the next start would use.</summary>
    Inactive = 1 << 1,

    /// <summary>VIR_DOMAIN_XML_MIGRATABLE: fit to be given to a destination.</summary>
    Migratable = 1 << 3,
}

/// <summary>virDomainUndefineFlagsValues (libvirt-domain.h).</summary>
[Flags]
public enum UndefineOptions
{
    /// <summary>Refused where there is more to remove than the description.</summary>
    None = 0,

    /// <summary>The managed save image as well.</summary>
    ManagedSave = 1 << 0,

    /// <summary>The metadata of snapshots as well.</summary>
    SnapshotsMetadata = 1 << 1,

    /// <summary>The NVRAM file as well.</summary>
    Nvram = 1 << 2,

    /// <summary>The metadata of checkpoints as well.</summary>
    CheckpointsMetadata = 1 << 4,
}

/// <summary>virDomainSnapshotCreateFlags (libvirt-domain-snapshot.h).</summary>
[Flags]
public enum SnapshotCreateOptions
{
    /// <summary>A full snapshot.</summary>
    None = 0,

    /// <summary>libvirt is to forget the snapshot once it is made.</summary>
    NoMetadata = 1 << 2,

    /// <summary>Disks only, no memory.</summary>
    DiskOnly = 1 << 4,

    /// <summary>The overlay files are there already.</summary>
    ReuseExternal = 1 << 5,

    /// <summary>The guest agent is to quiesce file systems.</summary>
    Quiesce = 1 << 6,

    /// <summary>All disks or none.</summary>
    Atomic = 1 << 7,
}

/// <summary>virDomainMigrateFlags (libvirt-domain.h).</summary>
[Flags]
public enum MigrateOptions
{
    /// <summary>Offline, driven by the client.</summary>
    None = 0,

    /// <summary>The domain keeps running.</summary>
    Live = 1 << 0,

    /// <summary>The source's daemon talks to the destination's; needed by virDomainMigrateToURI3 on QEMU.</summary>
    PeerToPeer = 1 << 1,

    /// <summary>Defined on the destination.</summary>
    PersistDestination = 1 << 3,

    /// <summary>No longer defined on the source.</summary>
    UndefineSource = 1 << 4,

    /// <summary>Left paused on the destination.</summary>
    Paused = 1 << 5,

    /// <summary>Whole disks are copied.</summary>
    NonSharedDisk = 1 << 6,

    /// <summary>Only each disk's top layer is copied.</summary>
    NonSharedIncremental = 1 << 7,

    /// <summary>The description may not change meanwhile.</summary>
    ChangeProtection = 1 << 8,

    /// <summary>Even where libvirt doubts the cache mode.</summary>
    Unsafe = 1 << 9,

    /// <summary>An I/O error of the guest ends the migration.</summary>
    AbortOnError = 1 << 12,

    /// <summary>The guest is slowed down until the migration converges.</summary>
    AutoConverge = 1 << 13,

    /// <summary>Post-copy of memory may be switched to.</summary>
    PostCopy = 1 << 15,

    /// <summary>Memory and disks are encrypted on the way, with the certificates that the daemons are configured with.</summary>
    Tls = 1 << 16,
}

/// <summary>One domain of a list.</summary>
/// <param name="Id">The hypervisor's number of a running domain; null where it does not run.</param>
/// <param name="Reason">Why it is in that state: the enumeration of libvirt-domain.h that belongs to the state.</param>
public sealed record DomainSummary(Guid Uuid, string Name, int? Id, DomainState State, int Reason);

/// <summary>The hypervisor behind a connection.</summary>
/// <param name="Type">virConnectGetType: "QEMU" also where KVM is used.</param>
public sealed record HypervisorVersion(string Type, Version Version);

/// <summary>virDomainGetBlockInfo; bytes.</summary>
/// <param name="Capacity">What the guest sees.</param>
/// <param name="Allocation">What the image takes on the host.</param>
/// <param name="Physical">The size of the image's file or device.</param>
public sealed record BlockInfo(long Capacity, long Allocation, long Physical);

/// <summary>virDomainBlockStatsFlags: a disk's totals since the domain was started. What a driver does not tell is 0.</summary>
/// <param name="ReadNanoseconds">The sum over all reads; likewise the others.</param>
public sealed record BlockStats(
    long ReadBytes,
    long ReadOperations,
    long ReadNanoseconds,
    long WriteBytes,
    long WriteOperations,
    long WriteNanoseconds,
    long FlushOperations,
    long FlushNanoseconds);

/// <summary>virDomainGetBlockJobInfo.</summary>
/// <param name="BandwidthBytes">The limit in bytes per second; 0 is none.</param>
/// <param name="Current">Where it is, in a unit of the job's own.</param>
/// <param name="End">Where it will be done. Equal numbers do not tell that the job has ended.</param>
public sealed record BlockJobInfo(BlockJobType Type, long BandwidthBytes, long Current, long End);

/// <summary>virDomainGetJobStats: a migration, or another job on a whole domain. What a driver does not tell is 0.</summary>
/// <param name="Type">virDomainJobType of libvirt-domain.h: 1 bounded, 2 unbounded, 3 completed, 4 failed, 5 cancelled.</param>
/// <param name="MemoryTotal">Bytes; likewise the others. Pages that are written meanwhile are processed again.</param>
/// <param name="DowntimeMs">How long the guest stands still at the end: expected, and measured once the job is over. Null where
/// unknown.</param>
public sealed record DomainJob(
    int Type,
    long TimeElapsedMs,
    long MemoryTotal,
    long MemoryProcessed,
    long MemoryRemaining,
    long MemoryBytesPerSecond,
    long DiskTotal,
    long DiskProcessed,
    long DiskRemaining,
    long? DowntimeMs);
