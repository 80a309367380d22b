using StreamService.Hypervisors;

namespace StreamService.Streaming;

/// <summary>Why a stream cannot start. Each is a code of the contract.</summary>
public enum StreamRefusal
{
    /// <summary>The disk has a stream job that is not over.</summary>
    StreamActive,

    /// <summary>No QEMU process holds the disk, and its image cannot be opened without one.</summary>
    DomainNotRunning,

    /// <summary>The guest cannot write the disk, so nothing can be populated.</summary>
    DiskReadOnly,

    /// <summary>The disk depends on nothing: there is nothing to stream.</summary>
    NoBackingImage,

    /// <summary>The base that is to stay is not an image of the chain.</summary>
    BaseNotInChain,

    /// <summary>Somebody else's block job is at work on the disk.</summary>
    BlockJobActive,
}

/// <summary>A stream was refused before anything changed.</summary>
public sealed class StreamRefusedException(StreamRefusal refusal, string detail, DiskAddress disk) : Exception(detail)
{
    /// <summary>Why.</summary>
    public StreamRefusal Refusal { get; } = refusal;

    /// <summary>The disk that it is about.</summary>
    public DiskAddress Disk { get; } = disk;
}

/// <summary>No stream has that id, or the disk has none that is not over.</summary>
public sealed class StreamNotFoundException(string detail) : Exception(detail);

/// <summary>The rules by which a stream may start. Pure: everything they look at is handed in.</summary>
public static class StreamAdmission
{
    /// <summary>Refuses, or returns.</summary>
    /// <param name="base">The image that stays as the backing image; null for none.</param>
    /// <param name="streamActive">Whether the disk has a stream job that is not over.</param>
    /// <param name="blockJob">The hypervisor's block job on the disk; null for none.</param>
    /// <exception cref="StreamRefusedException">The first rule that is broken.</exception>
    public static void Check(DomainInfo domain, DiskInfo disk, string? @base, bool streamActive, BlockJobInfo? blockJob)
    {
        if (streamActive)
            throw Refused(StreamRefusal.StreamActive, $"Disk '{disk.Target}' of domain '{domain.Name}' is being streamed already.");
        if (!domain.CanOpen(disk))
            throw Refused(StreamRefusal.DomainNotRunning, new DomainNotRunningException(domain.Name, disk.OfflineObstacle).Message);
        if (disk.ReadOnly)
            throw Refused(StreamRefusal.DiskReadOnly, $"Disk '{disk.Target}' of domain '{domain.Name}' is read-only.");
        if (disk.BackingChain.Count == 0)
            throw Refused(StreamRefusal.NoBackingImage, $"Disk '{disk.Target}' of domain '{domain.Name}' has no backing image: there is nothing to stream.");
        if (disk.DepthOf(@base) is null)
            throw Refused(StreamRefusal.BaseNotInChain,
                $"'{@base}' is not a backing image of disk '{disk.Target}'. Its chain: {string.Join(" → ", disk.BackingChain.Select(image => image.Source))}.");
        if (blockJob is not null)
            throw Refused(StreamRefusal.BlockJobActive, $"A block job of type '{blockJob.Type}' is at work on disk '{disk.Target}' of domain '{domain.Name}'.");

        StreamRefusedException Refused(StreamRefusal refusal, string detail) =>
            new(refusal, detail, new DiskAddress(domain.Host, domain.Id, disk.Target));
    }
}
