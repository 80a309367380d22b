using System.Globalization;
using System.Text.Json.Nodes;
using StreamService.Qemu.Nbd;

namespace StreamService.Hypervisors;

/// <summary>A host from which and to which domains migrate: one with libvirt. Errors are those of <see cref="IHypervisor"/>.</summary>
public interface IMigrationHost : IDomainDefiner
{
    /// <summary>The host's address for migrations as it was configured, or as its URI has it; null for this machine's own libvirt.</summary>
    string? MigrationAddress { get; }

    /// <summary>How the domain stands right now, asked from libvirt itself; null where the host has no such domain.</summary>
    Task<DomainStanding?> LookAsync(Guid domain, CancellationToken cancellationToken);

    /// <summary>libvirt's description of a domain, fit to be given to another host.</summary>
    /// <param name="persistent">What the next start would use, in place of what runs.</param>
    Task<string> DescribeForMigrationAsync(Guid domain, bool persistent, CancellationToken cancellationToken);

    /// <summary>Why this host would not take a domain of that description: its name, processor, machine type, devices. Empty where it would.</summary>
    Task<IReadOnlyList<string>> FindObstaclesAsync(Guid domain, string xml, CancellationToken cancellationToken);

    /// <summary>Has this host's QEMU connect to an NBD export, in a domain that never runs and is gone afterwards.</summary>
    /// <exception cref="HypervisorException">It cannot; QEMU's own words say why.</exception>
    Task ProbeExportAsync(string xml, CancellationToken cancellationToken);

    /// <summary>Opens a folder of the host's file system, be the host far or near.</summary>
    /// <exception cref="HypervisorException">It is not there, or is none.</exception>
    Task<IHostFolder> OpenFolderAsync(string path, CancellationToken cancellationToken);

    /// <summary>Gives disks a new active layer each, all of them or none. What was active is frozen.</summary>
    /// <param name="overlays">The new layers' files by target; they are made.</param>
    Task SnapshotAsync(Guid domain, IReadOnlyDictionary<string, string> overlays, CancellationToken cancellationToken);

    /// <summary>
    /// Undoes a snapshot: brings the active layer's data into the image below, which is active again when this returns, also
    /// where the domain is shut off. Safe to repeat; nothing where the layer is not active any more. The layer's file stays.
    /// </summary>
    Task CommitAsync(Guid domain, string target, string overlay, ChainImage frozen, CancellationToken cancellationToken);

    /// <summary>Migrates a running domain; returns when libvirt says that it is over. Only <see cref="LookAsync"/> on both hosts tells for sure what became of it.</summary>
    Task MigrateAsync(Guid domain, IMigrationHost destination, MigrationOrder order, CancellationToken cancellationToken);

    /// <summary>How far the migration is that is going on; null where none is.</summary>
    Task<DomainJobProgress?> FindJobAsync(Guid domain, CancellationToken cancellationToken);

    /// <summary>For how long the guest stood still in the migration that brought it here, as libvirt measured it; null where it does not know.</summary>
    Task<TimeSpan?> FindPauseAsync(Guid domain, CancellationToken cancellationToken);

    /// <summary>Asks for the end of the migration that is going on.</summary>
    Task AbortMigrationAsync(Guid domain, CancellationToken cancellationToken);

    /// <summary>Lets a paused domain go on.</summary>
    Task ResumeAsync(Guid domain, CancellationToken cancellationToken);

    /// <summary>Whether the host starts the domain when it starts itself.</summary>
    Task<bool> GetAutostartAsync(Guid domain, CancellationToken cancellationToken);

    Task SetAutostartAsync(Guid domain, bool autostart, CancellationToken cancellationToken);

    /// <summary>
    /// Has QEMU hold requests back for so long when the NBD server behind a disk is gone, instead of failing them at once. libvirt
    /// drops that setting on the way to a destination.
    /// </summary>
    /// <param name="export">The server, and what it serves.</param>
    Task RideOutAsync(Guid domain, string target, NbdAddress export, TimeSpan reconnectDelay, CancellationToken cancellationToken);

    /// <summary>Begins to record what the guest writes to a disk, in a bitmap of that name in QEMU's memory; goes on where it is there.</summary>
    Task RecordWritesAsync(Guid domain, string target, string bitmap, CancellationToken cancellationToken);

    /// <summary>
    /// Exports a disk together with what was recorded so far: a copy of the bitmap at this moment, which the export offers as
    /// metadata context <c>qemu:dirty-bitmap:NAME</c>.
    /// </summary>
    /// <returns>Null where the bitmap is gone, with the QEMU that had it.</returns>
    Task<RecordedWrites?> ExportRecordedAsync(Guid domain, string target, string bitmap, CancellationToken cancellationToken);

    /// <summary>Ends the record. Nothing where there is none.</summary>
    Task ForgetWritesAsync(Guid domain, string target, string bitmap, CancellationToken cancellationToken);
}

/// <summary>How a domain stands on one host.</summary>
/// <param name="MayHaveRun">False where its processors never ran on this host: it is being migrated to it, or was.</param>
/// <param name="JobActive">A migration or another job of libvirt's is going on.</param>
/// <param name="Persistent">It has a definition that outlives a shutdown.</param>
public sealed record DomainStanding(DomainState State, bool MayHaveRun, bool JobActive, bool Persistent)
{
    /// <summary>An I/O error of a disk has stopped its processors; they can go on from there.</summary>
    public bool StoppedByError { get; init; }

    /// <summary>Its processors run.</summary>
    public bool Runs => State is DomainState.Running or DomainState.Blocked;

    /// <summary>A QEMU process holds its disks.</summary>
    public bool IsActive => Runs || State is DomainState.Paused or DomainState.ShuttingDown or DomainState.Suspended;
}

/// <summary>How far libvirt's migration is, in bytes.</summary>
public sealed record DomainJobProgress(long MemoryTotal, long MemoryRemaining, long MemoryTransferred, long BytesPerSecond);

/// <summary>What libvirt is told of a migration.</summary>
/// <param name="DestinationXml">The description at the destination.</param>
/// <param name="PersistentXml">What is defined there; null for a domain without a definition.</param>
/// <param name="Targets">The disks whose active layers are brought over.</param>
/// <param name="Tls">Whether libvirt encrypts memory and disks on the way.</param>
public sealed record MigrationOrder(string DestinationXml, string? PersistentXml, IReadOnlyList<string> Targets, bool Tls);

/// <summary>An export of an NBD server that other hosts reach.</summary>
public sealed record NbdAddress(string Host, int Port, string Export, bool Tls)
{
    /// <summary>BlockdevOptions of a node that reads it.</summary>
    /// <param name="credentials">QEMU's object that holds the certificates.</param>
    internal JsonObject ToOptions(string nodeName, TimeSpan reconnectDelay, string credentials)
    {
        var options = new JsonObject
        {
            ["driver"] = "nbd",
            ["node-name"] = nodeName,
            ["read-only"] = true,
            ["server"] = new JsonObject { ["type"] = "inet", ["host"] = Host, ["port"] = Port.ToString(CultureInfo.InvariantCulture) },
            ["export"] = Export,
            ["reconnect-delay"] = (int)reconnectDelay.TotalSeconds,
        };
        if (Tls)
            options["tls-creds"] = credentials;
        return options;
    }
}

/// <summary>A folder of a host.</summary>
public interface IHostFolder : IAsyncDisposable
{
    /// <summary>Bytes that are free on its file system.</summary>
    Task<long> GetAvailableBytesAsync(CancellationToken cancellationToken);

    Task<bool> ExistsAsync(string name, CancellationToken cancellationToken);

    /// <summary>Makes a file, which only the host's root and its QEMU can read.</summary>
    Task WriteFileAsync(string name, ReadOnlyMemory<byte> content, CancellationToken cancellationToken);

    /// <summary>Deletes a file; nothing where there is none.</summary>
    Task DeleteFileAsync(string name, CancellationToken cancellationToken);
}

/// <summary>A disk's export, and under which context it tells what the guest has written.</summary>
public sealed class RecordedWrites(NbdClient client, string context, Func<ValueTask> release) : IAsyncDisposable
{
    public NbdClient Client => client;

    public string Context => context;

    public ValueTask DisposeAsync() => release();
}
