using StreamService.Migrations;

namespace StreamService.Progress;

/// <summary>A migration as callers see it, over HTTP and over the hub.</summary>
public sealed record MigrationView
{
    public required Guid MigrationId { get; init; }

    /// <summary>The domain's UUID.</summary>
    public required Guid Domain { get; init; }

    public required string DomainName { get; init; }

    /// <summary>The configured name of the host that it leaves.</summary>
    public required string Source { get; init; }

    /// <summary>The configured name of the host that it goes to.</summary>
    public required string Destination { get; init; }

    public required MigrationState State { get; init; }

    /// <summary>The step at work, or the last one.</summary>
    public required MigrationStepName Step { get; init; }

    /// <summary>Why it waits, or cannot go back yet; null where it does not.</summary>
    public required string? Reason { get; init; }

    /// <summary>Why it failed, as a problem document.</summary>
    public required StreamProblem? Error { get; init; }

    /// <summary>Since when the domain is on the destination; null before the switch.</summary>
    public required DateTimeOffset? SwitchedAt { get; init; }

    /// <summary>Whether the contents are compared before the exports end.</summary>
    public required bool Verify { get; init; }

    /// <summary>Of the disks' files on the destination: qcow2 or qed.</summary>
    public required string Format { get; init; }

    /// <summary>All steps, in order.</summary>
    public required IReadOnlyList<MigrationStepView> Steps { get; init; }

    /// <summary>The disks that move; the others both hosts see, or the guest cannot write.</summary>
    public required IReadOnlyList<MigrationDiskView> Disks { get; init; }

    /// <summary>How far the memory is, or was last; null before step migrate.</summary>
    public required MemoryProgressView? Memory { get; init; }

    /// <summary>Files that the source still has and that nobody needs any more; DELETE with storage=true deletes them.</summary>
    public required IReadOnlyList<string> LeftOnSource { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
    public required DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Rises with every picture of the migration.</summary>
    public required long Generation { get; init; }

    public static MigrationView From(MigrationStatus status) => new()
    {
        MigrationId = status.MigrationId,
        Domain = status.Domain,
        DomainName = status.DomainName,
        Source = status.Source,
        Destination = status.Spec.Destination,
        State = status.State,
        Step = status.Step,
        Reason = status.Reason,
        Error = status.Error is { } error ? new StreamProblem(StreamProblem.TypePrefix + error.Code, "The migration failed.", error.Detail, error.Code) : null,
        SwitchedAt = status.SwitchedAt,
        Verify = status.Spec.Verify,
        Format = status.Spec.Format,
        Steps = [.. status.Steps.Select(step => new MigrationStepView(step.Name, step.State, step.StartedAt, step.FinishedAt, step.Attempts, step.Detail))],
        Disks = [.. status.Disks.Select(disk => new MigrationDiskView(
            disk.Target, disk.Size, disk.Frozen, disk.Overlay, disk.Destination, status.ExportUri(disk), disk.BytesRemaining, disk.BytesVerified, disk.BytesOverwritten))],
        Memory = status.Memory is { } memory ? new MemoryProgressView(memory.Total, memory.Remaining, memory.Transferred, memory.BytesPerSecond) : null,
        LeftOnSource = status.LeftOnSource,
        CreatedAt = status.CreatedAt,
        UpdatedAt = status.UpdatedAt,
        FinishedAt = status.FinishedAt,
        Generation = status.Generation,
    };
}

/// <summary>One step of a migration.</summary>
/// <param name="Attempts">How often it was begun.</param>
/// <param name="Detail">What it did, or why it failed.</param>
public sealed record MigrationStepView(MigrationStepName Name, MigrationStepState State, DateTimeOffset? StartedAt, DateTimeOffset? FinishedAt, int Attempts, string? Detail);

/// <summary>One disk of a migration. Sizes are bytes.</summary>
/// <param name="Target">For example <c>vda</c>.</param>
/// <param name="Size">What the guest sees.</param>
/// <param name="Frozen">The file on the source that is exported: the disk's until the snapshot.</param>
/// <param name="Overlay">The file on the source that the guest writes to from the snapshot to the switch.</param>
/// <param name="Destination">The file on the destination.</param>
/// <param name="Export">The address of the export; null while there is none.</param>
/// <param name="BytesRemaining">What is still only on the source; null while not known.</param>
/// <param name="BytesVerified">What was compared and found equal; null where nothing was compared.</param>
/// <param name="BytesOverwritten">What the guest has written since the snapshot, so that there is nothing to compare it with.</param>
public sealed record MigrationDiskView(
    string Target, long Size, string Frozen, string Overlay, string Destination, string? Export, long? BytesRemaining, long? BytesVerified, long? BytesOverwritten);

/// <summary>How far libvirt is with a domain's memory, in bytes.</summary>
/// <param name="Transferred">In all; more than the total where the guest wrote to it meanwhile.</param>
public sealed record MemoryProgressView(long Total, long Remaining, long Transferred, long BytesPerSecond);
