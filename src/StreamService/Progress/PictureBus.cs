using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>Takes pictures of streams and migrations to the hubs of other replicas, and theirs to this one. Where there are none, there is nothing to take.</summary>
public class PictureBus
{
    /// <summary>A stream of another replica, and whether its state is a new one. Handlers must not block.</summary>
    public event Action<StreamStatus, bool>? Received;

    /// <summary>A migration of another replica. Handlers must not block.</summary>
    public event Action<MigrationStatus>? MigrationReceived;

    /// <summary>Sends a stream's picture to the others. Never blocks.</summary>
    public virtual void Send(StreamStatus status, bool stateChanged)
    {
    }

    /// <summary>Sends a migration's picture to the others. Never blocks.</summary>
    public virtual void Send(MigrationStatus status)
    {
    }

    private protected void Receive(StreamStatus status, bool stateChanged) => Received?.Invoke(status, stateChanged);

    private protected void Receive(MigrationStatus status) => MigrationReceived?.Invoke(status);
}
