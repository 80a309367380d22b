namespace StreamService.Client;

/// <summary>Which streams to hear of; members left out do not restrict.</summary>
/// <param name="Host">The configured name of a host.</param>
/// <param name="Domain">A domain's UUID or name.</param>
/// <param name="Disk">A disk's target.</param>
public sealed record StreamSubscription(string? Host = null, string? Domain = null, string? Disk = null);

/// <summary>Which migrations to hear of; members left out do not restrict.</summary>
/// <param name="Host">The configured name of a host, as source or destination.</param>
/// <param name="Domain">A domain's UUID or name.</param>
public sealed record MigrationSubscription(string? Host = null, string? Domain = null);

/// <summary>Why there is a new picture of a stream.</summary>
public enum StreamUpdateKind
{
    /// <summary>What was found on subscribing, or after the connection had been lost.</summary>
    Snapshot,

    /// <summary>It got on.</summary>
    Progress,

    /// <summary>It entered a new state.</summary>
    StateChanged,
}

/// <summary>A new picture of a stream.</summary>
public readonly record struct StreamUpdate(StreamStatus Status, StreamUpdateKind Kind);

/// <summary>Whether a watch is connected.</summary>
public enum WatchState
{
    Connected,

    /// <summary>It is connecting again, for as long as it takes.</summary>
    Reconnecting,

    /// <summary>It is over.</summary>
    Closed,
}
