namespace StreamService.Storage;

/// <summary>Which replica drives a host.</summary>
public sealed class HostLeaseRecord
{
    /// <summary>The configured name of the host.</summary>
    public required string Host { get; init; }

    /// <summary>Rises with every replica that takes the host.</summary>
    public required long Epoch { get; set; }

    /// <summary>The replica that drives it, or did until it died; null where it was given back.</summary>
    public required string? Driver { get; set; }

    /// <summary>A replica that needs it though another drives it; null where none does.</summary>
    public required string? WantedBy { get; set; }
}

/// <summary>One replica of the service.</summary>
public sealed class ReplicaRecord
{
    /// <summary>Its name, which no other has.</summary>
    public required string Name { get; init; }

    /// <summary>Of its process: another one of the same name is another replica.</summary>
    public required Guid Instance { get; set; }

    /// <summary>Where the other replicas reach it.</summary>
    public required string Url { get; set; }

    public required string Version { get; set; }

    /// <summary>When it last said that it lives, in milliseconds since 1970 by the database's clock.</summary>
    public required long BeatAt { get; set; }

    /// <summary>The hosts that it can drive, as JSON: it alone writes them, and they are only ever read together.</summary>
    public required string Hosts { get; set; }

    /// <summary>What its streams weigh in each shared budget, as JSON.</summary>
    public required string Budgets { get; set; }
}

/// <summary>Another replica drives the host by now: what this one wanted on record was not written.</summary>
public sealed class LeaseLostException(string host) : Exception($"Another replica drives host '{host}' by now.");
