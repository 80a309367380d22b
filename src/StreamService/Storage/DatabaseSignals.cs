namespace StreamService.Storage;

/// <summary>
/// What replicas tell each other through their database. Where there is one service only nobody is told, and nobody has to be:
/// what it changes it knows.
/// </summary>
public class DatabaseSignals
{
    /// <summary>Longest topic and payload together, in bytes of UTF-8: PostgreSQL takes less than 8000 of a notification.</summary>
    public const int LargestSignal = 7900;

    /// <summary>
    /// Has a subscriber called with the payload of each signal of the topic, this replica's own included; with null where signals
    /// may have been missed, so that it looks for itself. It is called on the one loop that listens: it hands over, and is quick.
    /// </summary>
    /// <returns>Ends the subscription.</returns>
    public virtual IDisposable Subscribe(string topic, Action<string?> subscriber) => Nobody.Instance;

    /// <summary>
    /// Tells all replicas. Within the context's transaction, where it has begun one: then they are told when that is committed, and
    /// not at all where it is rolled back.
    /// </summary>
    public virtual Task NotifyAsync(StreamDbContext context, string topic, string payload, CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Tells all replicas, at once.</summary>
    public virtual Task NotifyAsync(string topic, string payload, CancellationToken cancellationToken) => Task.CompletedTask;

    private sealed class Nobody : IDisposable
    {
        public static readonly Nobody Instance = new();

        public void Dispose()
        {
        }
    }
}
