using System.Threading.Channels;

namespace StreamService.Qemu.Libvirt;

/// <summary>Something happened to a domain.</summary>
public abstract record LibvirtEvent(Guid Uuid, string Name);

/// <summary>VIR_DOMAIN_EVENT_ID_LIFECYCLE.</summary>
/// <param name="Detail">The enumeration of libvirt-domain.h that belongs to the event.</param>
public sealed record DomainLifecycleEvent(Guid Uuid, string Name, DomainLifecycle Event, int Detail)
    : LibvirtEvent(Uuid, Name);

/// <summary>VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2.</summary>
/// <param name="Disk">The disk's target, such as vda.</param>
public sealed record BlockJobEvent(Guid Uuid, string Name, string Disk, BlockJobType Type, BlockJobStatus Status)
    : LibvirtEvent(Uuid, Name);

/// <summary>
/// QEMU's own event of a block job that ended in an error: libvirt's events leave the text out. Comes before the
/// <see cref="BlockJobEvent"/> of the same job.
/// </summary>
/// <param name="Job">QEMU's id of the job; libvirt's begin with pull- and the disk's target.</param>
/// <param name="Error">QEMU's own text.</param>
public sealed record BlockJobErrorEvent(Guid Uuid, string Name, string Job, string Error) : LibvirtEvent(Uuid, Name);

/// <summary>VIR_DOMAIN_EVENT_ID_DEVICE_ADDED.</summary>
public sealed record DeviceAddedEvent(Guid Uuid, string Name, string Alias) : LibvirtEvent(Uuid, Name);

/// <summary>VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED.</summary>
public sealed record DeviceRemovedEvent(Guid Uuid, string Name, string Alias) : LibvirtEvent(Uuid, Name);

/// <summary>virDomainEventType (libvirt-domain.h).</summary>
public enum DomainLifecycle
{
    /// <summary>Defined, or defined anew.</summary>
    Defined = 0,

    /// <summary>No longer defined.</summary>
    Undefined = 1,

    /// <summary>Started: booted, migrated in, restored.</summary>
    Started = 2,

    /// <summary>Paused.</summary>
    Suspended = 3,

    /// <summary>Goes on.</summary>
    Resumed = 4,

    /// <summary>Stopped: shut down, destroyed, crashed, migrated away.</summary>
    Stopped = 5,

    /// <summary>The guest has finished its shutdown.</summary>
    Shutdown = 6,

    /// <summary>Suspended by the guest's power management.</summary>
    PmSuspended = 7,

    /// <summary>Crashed.</summary>
    Crashed = 8,
}

/// <summary>Why a connection closed (virConnectCloseReason, libvirt-common.h).</summary>
public enum LibvirtCloseReason
{
    /// <summary>An I/O error.</summary>
    Error = 0,

    /// <summary>The daemon closed it: stopped or restarted.</summary>
    EndOfFile = 1,

    /// <summary>The daemon gave no sign of life.</summary>
    KeepAlive = 2,

    /// <summary>It was disposed here.</summary>
    Client = 3,
}

/// <summary>A running subscription to a connection's events; dispose it to end it.</summary>
public sealed class LibvirtSubscription : IDisposable
{
    private readonly Channel<LibvirtEvent> _channel;
    private readonly Action<LibvirtSubscription> _remove;

    internal LibvirtSubscription(int backlog, Action<LibvirtSubscription> remove)
    {
        _channel = Channel.CreateBounded<LibvirtEvent>(
            new BoundedChannelOptions(backlog) { SingleWriter = false, AllowSynchronousContinuations = false });
        _remove = remove;
    }

    /// <summary>
    /// The events since the subscription began, in order. Ends when the connection closes or the
    /// subscription is disposed, and ends in a <see cref="LibvirtException"/> once more events are unread
    /// than the backlog allows: none is ever left out silently. Events are not replayed: subscribe, then ask.
    /// </summary>
    public ChannelReader<LibvirtEvent> Reader => _channel.Reader;

    /// <inheritdoc/>
    public void Dispose()
    {
        _remove(this);
        Complete();
    }

    /// <summary>Called on libvirt's event thread: must neither block nor throw.</summary>
    internal void Post(LibvirtEvent happened)
    {
        if (!_channel.Writer.TryWrite(happened))
        {
            _remove(this);
            _channel.Writer.TryComplete(new LibvirtException(
                LibvirtErrorCode.OperationFailed, "Events were read too slowly; some are lost."));
        }
    }

    internal void Complete() => _channel.Writer.TryComplete();
}
