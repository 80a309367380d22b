using System.Text.Json.Serialization;
using StreamService.Hypervisors;
using StreamService.Streaming;

namespace StreamService.Migrations;

/// <summary>What a migration is doing.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<MigrationState>))]
public enum MigrationState
{
    /// <summary>A step is at work.</summary>
    Running,

    /// <summary>Something is missing; it retries by itself and says in <c>reason</c> what.</summary>
    Waiting,

    /// <summary>It failed or was cancelled before the switch: what was done is being undone.</summary>
    GoingBack,

    /// <summary>The domain runs on the destination and depends on nothing at the source.</summary>
    Completed,

    /// <summary>The domain is on the source as it was; <c>error</c> says why.</summary>
    Failed,

    /// <summary>The domain is on the source as it was, because a caller wished so.</summary>
    Cancelled,
}

/// <summary>The steps of a migration, in order. The switch is the end of <see cref="Migrate"/>: before it everything can be undone, after it nothing.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<MigrationStepName>))]
public enum MigrationStepName
{
    /// <summary>All that could stand in the way is looked at; nothing is changed.</summary>
    Preflight,

    /// <summary>The source's disks get a new layer for the guest's writes; what is below is frozen.</summary>
    Snapshot,

    /// <summary>The frozen images are served read-only over NBD.</summary>
    Export,

    /// <summary>The destination gets an overlay for each disk, backed by its export.</summary>
    PrepareDestination,

    /// <summary>libvirt moves memory, devices and the layers written since the snapshot; the domain runs on at the destination.</summary>
    Migrate,

    /// <summary>The overlays are populated and their backing links dropped.</summary>
    Stream,

    /// <summary>The destination's contents are compared with the frozen images.</summary>
    Verify,

    /// <summary>The exports end.</summary>
    Release,
}

/// <summary>How far a step is.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<MigrationStepState>))]
public enum MigrationStepState
{
    Pending,
    Running,
    Done,

    /// <summary>It failed for good; before the switch the migration goes back then.</summary>
    Failed,

    /// <summary>What it had done was undone.</summary>
    Undone,

    /// <summary>Not asked for, or impossible; the detail says why.</summary>
    Skipped,
}

/// <summary>One step: its row.</summary>
/// <param name="Attempts">How often it was begun.</param>
/// <param name="Detail">What it did, or why it failed.</param>
public sealed record MigrationStep(
    MigrationStepName Name,
    MigrationStepState State,
    DateTimeOffset? StartedAt,
    DateTimeOffset? FinishedAt,
    int Attempts,
    string? Detail);

/// <summary>One disk that moves.</summary>
/// <param name="Target">For example <c>vda</c>.</param>
/// <param name="Size">What the guest sees, in bytes.</param>
/// <param name="Frozen">The source's active layer before the snapshot: what is exported.</param>
/// <param name="FrozenFormat">Its format.</param>
/// <param name="Backing">The images below it, nearest first.</param>
/// <param name="Overlay">The source's active layer since the snapshot.</param>
/// <param name="Destination">The file on the destination.</param>
/// <param name="Port">Of the export; 0 while there is none.</param>
public sealed record MigrationDisk(
    string Target,
    long Size,
    string Frozen,
    string FrozenFormat,
    IReadOnlyList<Hypervisors.ChainImage> Backing,
    string Overlay,
    string Destination,
    int Port)
{
    /// <summary>The destination's file was made, or may have been: it is this migration's.</summary>
    public bool Prepared { get; init; }

    /// <summary>Bytes that are still only on the source; null while not known.</summary>
    public long? BytesRemaining { get; init; }

    /// <summary>Bytes that were compared and found equal; null where nothing was compared.</summary>
    public long? BytesVerified { get; init; }

    /// <summary>Bytes that the guest overwrote, so that there is nothing to compare them with.</summary>
    public long? BytesOverwritten { get; init; }
}

/// <summary>How far libvirt is with the domain's memory.</summary>
public sealed record MemoryProgress(long Total, long Remaining, long Transferred, long BytesPerSecond);

/// <summary>What a caller wants migrated.</summary>
/// <param name="Destination">The configured name of the host.</param>
/// <param name="Stream">How the disks are streamed afterwards.</param>
/// <param name="Verify">Whether the contents are compared before the exports end.</param>
/// <param name="Format">Of the destination's overlays: qcow2 or qed.</param>
/// <param name="Folder">Where they go; null: for each disk where it is on the source.</param>
public sealed record MigrationSpec(string Destination, StreamSpec Stream, bool Verify, string Format, string? Folder);

/// <summary>Why a migration failed: a code of the contract and the failing layer's own words.</summary>
public sealed record MigrationError(string Code, string Detail);

/// <summary>An immutable picture of one migration. Generations rise; a later one replaces an earlier one.</summary>
/// <param name="Persistent">The source has a definition that outlives a shutdown, so the destination gets one.</param>
/// <param name="Autostart">The source starts it with the host, so the destination shall.</param>
/// <param name="Address">The source's address for the exports.</param>
/// <param name="CancelRequested">A caller wants it undone.</param>
/// <param name="Step">The step at work, or the last one.</param>
/// <param name="Reason">Why it waits.</param>
/// <param name="SwitchedAt">Since when the domain is on the destination.</param>
/// <param name="LeftOnSource">Files that the source still has and nobody needs; from the release on.</param>
public sealed record MigrationStatus(
    Guid MigrationId,
    Guid Domain,
    string DomainName,
    string Source,
    MigrationSpec Spec,
    bool Persistent,
    bool Autostart,
    string Address,
    MigrationState State,
    bool CancelRequested,
    MigrationStepName Step,
    string? Reason,
    MigrationError? Error,
    IReadOnlyList<MigrationStep> Steps,
    IReadOnlyList<MigrationDisk> Disks,
    MemoryProgress? Memory,
    IReadOnlyList<string> LeftOnSource,
    DateTimeOffset CreatedAt,
    DateTimeOffset UpdatedAt,
    DateTimeOffset? SwitchedAt,
    DateTimeOffset? FinishedAt,
    long Generation)
{
    /// <summary>The domain's labels when the migration was begun: callers that are limited to some see no others.</summary>
    [JsonIgnore]
    public LabelSet Labels { get; init; }

    /// <summary>Whether it is over.</summary>
    public bool IsFinal => State is MigrationState.Completed or MigrationState.Failed or MigrationState.Cancelled;

    /// <summary>The row of a step.</summary>
    public MigrationStep this[MigrationStepName name] => Steps[(int)name];

    /// <summary>The name of a disk's export: nobody guesses it, and it tells whose it is.</summary>
    public string ExportName(MigrationDisk disk) => $"streamservice-{MigrationId:N}-{disk.Target}";

    /// <summary>The address of a disk's export; null while there is none.</summary>
    public string? ExportUri(MigrationDisk disk) => disk.Port == 0 ? null
        : $"nbd://{(Address.Contains(':', StringComparison.Ordinal) ? $"[{Address}]" : Address)}:{disk.Port}/{ExportName(disk)}";

    /// <summary>This picture with one step's row changed.</summary>
    internal MigrationStatus With(MigrationStepName name, Func<MigrationStep, MigrationStep> change) =>
        this with { Steps = [.. Steps.Select(step => step.Name == name ? change(step) : step)] };

    /// <summary>This picture with one disk changed.</summary>
    internal MigrationStatus With(string target, Func<MigrationDisk, MigrationDisk> change) =>
        this with { Disks = [.. Disks.Select(disk => disk.Target == target ? change(disk) : disk)] };
}

/// <summary>Which migrations are asked for; null members do not restrict.</summary>
/// <param name="Host">Source or destination.</param>
public sealed record MigrationFilter(IReadOnlyCollection<MigrationState>? States = null, string? Host = null, Guid? Domain = null)
{
    /// <summary>Whether it is meant.</summary>
    public bool Matches(MigrationStatus status) =>
        (States is null || States.Contains(status.State))
        && (Host is null || Host == status.Source || Host == status.Spec.Destination)
        && (Domain is null || Domain == status.Domain);
}

/// <summary>A migration was refused before anything changed.</summary>
/// <param name="faults">Every reason, by the member of the request or the part that it is about.</param>
public sealed class MigrationRefusedException(IReadOnlyDictionary<string, string[]> faults)
    : Exception(string.Join(" ", faults.SelectMany(fault => fault.Value)))
{
    /// <summary>Every reason.</summary>
    public IReadOnlyDictionary<string, string[]> Faults { get; } = faults;
}

/// <summary>The domain is being migrated already.</summary>
public sealed class MigrationActiveException(MigrationStatus active)
    : Exception($"Domain '{active.DomainName}' is being migrated from {active.Source} to {active.Spec.Destination}.")
{
    /// <summary>The migration in the way.</summary>
    public Guid MigrationId { get; } = active.MigrationId;
}

/// <summary>No migration has that id.</summary>
public sealed class MigrationNotFoundException(string migrationId) : Exception($"There is no migration '{migrationId}'.");

/// <summary>It cannot be cancelled, or its files cannot be deleted, at the point where it is.</summary>
public sealed class MigrationPastException(string detail) : Exception(detail);
