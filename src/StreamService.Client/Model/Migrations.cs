namespace StreamService.Client;

/// <summary>What a migration is doing.</summary>
public enum MigrationState
{
    Unknown,
    Running,

    /// <summary>Something is missing; it retries by itself and says in <see cref="Migration.Reason"/> what.</summary>
    Waiting,

    /// <summary>What was done is being undone.</summary>
    GoingBack,

    /// <summary>The domain runs on the destination and depends on nothing at the source.</summary>
    Completed,

    /// <summary>The domain is on the source as it was.</summary>
    Failed,

    /// <summary>The domain is on the source as it was, because a caller wished so.</summary>
    Cancelled,
}

/// <summary>The steps of a migration, in order; the switch is the end of <see cref="Migrate"/>.</summary>
public enum MigrationStepName
{
    Unknown,
    Preflight,
    Snapshot,
    Export,
    PrepareDestination,
    Migrate,
    Stream,
    Verify,
    Release,
}

/// <summary>How far a step is.</summary>
public enum MigrationStepState
{
    Unknown,
    Pending,
    Running,
    Done,
    Failed,
    Undone,
    Skipped,
}

/// <summary>How a domain is to migrate.</summary>
/// <param name="Destination">The configured name of the host to go to.</param>
public sealed record MigrationOptions(string Destination)
{
    /// <summary>How the disks are streamed once the domain is there.</summary>
    public StreamOptions? Stream { get; init; }

    /// <summary>Whether the contents are compared before the source's export ends. Default false.</summary>
    public bool? Verify { get; init; }

    /// <summary>Of the disks' files there. Default qcow2.</summary>
    public OverlayFormat? Format { get; init; }

    /// <summary>The folder of the disks' files there. Default: as on the source.</summary>
    public string? Folder { get; init; }
}

/// <summary>A picture of a migration.</summary>
public sealed record Migration : ApiRecord
{
    public Guid MigrationId { get; init; }

    /// <summary>The domain's UUID.</summary>
    public Guid Domain { get; init; }

    public string DomainName { get; init; } = "";

    /// <summary>The host that it leaves.</summary>
    public string Source { get; init; } = "";

    /// <summary>The host that it goes to.</summary>
    public string Destination { get; init; } = "";

    public MigrationState State { get; init; }

    /// <summary>The step at work, or the last one.</summary>
    public MigrationStepName Step { get; init; }

    /// <summary>Why it waits.</summary>
    public string? Reason { get; init; }

    /// <summary>Why it failed.</summary>
    public Problem? Error { get; init; }

    /// <summary>Since when the domain is on the destination; null before the switch.</summary>
    public DateTimeOffset? SwitchedAt { get; init; }

    public bool Verify { get; init; }

    /// <summary>Of the disks' files on the destination.</summary>
    public string Format { get; init; } = "";

    /// <summary>All steps, in order.</summary>
    public IReadOnlyList<MigrationStep> Steps { get; init; } = [];

    /// <summary>The disks that move.</summary>
    public IReadOnlyList<MigrationDisk> Disks { get; init; } = [];

    /// <summary>How far the memory is; null before step migrate.</summary>
    public MemoryProgress? Memory { get; init; }

    /// <summary>Files that the source still has and nobody needs.</summary>
    public IReadOnlyList<string> LeftOnSource { get; init; } = [];

    public DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset UpdatedAt { get; init; }

    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Rises with every picture of the migration.</summary>
    public long Generation { get; init; }

    /// <summary>Whether nothing follows.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsOver => State is MigrationState.Completed or MigrationState.Failed or MigrationState.Cancelled;
}

/// <summary>One step of a migration.</summary>
public sealed record MigrationStep : ApiRecord
{
    public MigrationStepName Name { get; init; }

    public MigrationStepState State { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>How often it was begun.</summary>
    public int Attempts { get; init; }

    /// <summary>What it did, or why it failed.</summary>
    public string? Detail { get; init; }
}

/// <summary>One disk of a migration; sizes are bytes.</summary>
public sealed record MigrationDisk : ApiRecord
{
    public string Target { get; init; } = "";

    public long Size { get; init; }

    /// <summary>The file on the source that is exported.</summary>
    public string Frozen { get; init; } = "";

    /// <summary>The file on the source that the guest writes to until the switch.</summary>
    public string Overlay { get; init; } = "";

    /// <summary>The file on the destination.</summary>
    public string Destination { get; init; } = "";

    /// <summary>The export's address; null while there is none.</summary>
    public string? Export { get; init; }

    public long? BytesRemaining { get; init; }

    public long? BytesVerified { get; init; }

    public long? BytesOverwritten { get; init; }
}

/// <summary>How far libvirt is with a domain's memory, in bytes.</summary>
public sealed record MemoryProgress : ApiRecord
{
    public long Total { get; init; }

    public long Remaining { get; init; }

    public long Transferred { get; init; }

    public long BytesPerSecond { get; init; }
}

/// <summary>Which migrations a list is about; members left out do not restrict.</summary>
public sealed record MigrationFilter
{
    /// <summary>Any of these.</summary>
    public IReadOnlyList<MigrationState> States { get; init; } = [];

    /// <summary>A host's name, as source or destination.</summary>
    public string? Host { get; init; }

    /// <summary>A domain's UUID or name.</summary>
    public string? Domain { get; init; }
}
