using System.Linq.Expressions;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Storage;

/// <summary>One migration.</summary>
public sealed class MigrationRecord
{
    public required Guid MigrationId { get; init; }
    public required Guid Domain { get; init; }
    public required string DomainName { get; init; }
    public required string Source { get; init; }
    public required string Destination { get; init; }

    /// <summary>The streams' <see cref="StreamSpec"/>, as JSON.</summary>
    public required string Stream { get; init; }

    public required bool Verify { get; init; }
    public required string Format { get; init; }
    public required string? Folder { get; init; }
    public required bool Persistent { get; init; }
    public required bool Autostart { get; init; }
    public required string Address { get; init; }

    /// <summary>The domain's <see cref="LabelSet"/>.</summary>
    public required string? Labels { get; init; }

    public required string? IdempotencyKey { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }

    public required MigrationState State { get; set; }
    public required bool CancelRequested { get; set; }
    public required MigrationStepName Step { get; set; }
    public required string? Reason { get; set; }
    public required string? ErrorCode { get; set; }
    public required string? ErrorDetail { get; set; }

    /// <summary><see cref="MemoryProgress"/>, as JSON.</summary>
    public required string? Memory { get; set; }

    /// <summary>Paths, as JSON.</summary>
    public required string LeftOnSource { get; set; }

    public required DateTimeOffset UpdatedAt { get; set; }
    public required DateTimeOffset? SwitchedAt { get; set; }
    public required DateTimeOffset? FinishedAt { get; set; }
    public required long Generation { get; set; }

    /// <summary>Of the source's <see cref="HostTerm"/> that wrote it; an earlier one can write it no more.</summary>
    public long Epoch { get; set; }

    public List<MigrationStepRecord> Steps { get; init; } = [];
    public List<MigrationDiskRecord> Disks { get; init; } = [];
}

/// <summary>One step of a migration.</summary>
public sealed class MigrationStepRecord
{
    public required Guid MigrationId { get; init; }
    public required MigrationStepName Name { get; init; }
    public required MigrationStepState State { get; set; }
    public required DateTimeOffset? StartedAt { get; set; }
    public required DateTimeOffset? FinishedAt { get; set; }
    public required int Attempts { get; set; }
    public required string? Detail { get; set; }
}

/// <summary>One disk of a migration.</summary>
public sealed class MigrationDiskRecord
{
    public required Guid MigrationId { get; init; }
    public required string Target { get; init; }

    /// <summary>Its place among the migration's disks.</summary>
    public required int Ordinal { get; init; }

    public required long Size { get; init; }
    public required string Frozen { get; init; }
    public required string FrozenFormat { get; init; }

    /// <summary>The images below, as JSON.</summary>
    public required string Backing { get; init; }

    public required string Overlay { get; init; }
    public required string Destination { get; init; }
    public required int Port { get; set; }
    public required bool Prepared { get; set; }
    public required long? BytesRemaining { get; set; }
    public required long? BytesVerified { get; set; }
    public required long? BytesOverwritten { get; set; }
}

/// <summary>What a disk's new overlay held when the recording of guest writes began. Apart from the disk's row: it is large.</summary>
public sealed class MigrationWrittenRecord
{
    public required Guid MigrationId { get; init; }
    public required string Target { get; init; }

    /// <summary>See <see cref="WrittenBlocks"/>.</summary>
    public required byte[] Blocks { get; init; }
}

/// <summary>Keeps the records of migrations: a row for each, and one for each of its steps and disks.</summary>
public sealed class MigrationStore(IDbContextFactory<StreamDbContext> contexts)
{
    private static readonly MigrationState[] FinalStates = [MigrationState.Completed, MigrationState.Failed, MigrationState.Cancelled];

    /// <summary>Whether a migration is not over.</summary>
    internal static readonly Expression<Func<MigrationRecord, bool>> IsActive = record => !FinalStates.Contains(record.State);

    /// <param name="epoch">Of the source's term.</param>
    /// <exception cref="LeaseLostException">A later one has begun.</exception>
    public async Task AddAsync(MigrationStatus status, string? idempotencyKey, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var record = new MigrationRecord
        {
            MigrationId = status.MigrationId,
            Domain = status.Domain,
            DomainName = status.DomainName,
            Source = status.Source,
            Destination = status.Spec.Destination,
            Stream = JsonSerializer.Serialize(status.Spec.Stream),
            Verify = status.Spec.Verify,
            Format = status.Spec.Format,
            Folder = status.Spec.Folder,
            Persistent = status.Persistent,
            Autostart = status.Autostart,
            Address = status.Address,
            Labels = status.Labels.Text,
            IdempotencyKey = idempotencyKey,
            CreatedAt = status.CreatedAt,
            State = status.State,
            CancelRequested = status.CancelRequested,
            Step = status.Step,
            Reason = status.Reason,
            ErrorCode = null,
            ErrorDetail = null,
            Memory = null,
            LeftOnSource = "[]",
            UpdatedAt = status.UpdatedAt,
            SwitchedAt = null,
            FinishedAt = null,
            Generation = status.Generation,
            Epoch = epoch,
        };
        record.Steps.AddRange(status.Steps.Select(step => new MigrationStepRecord
        {
            MigrationId = status.MigrationId,
            Name = step.Name,
            State = step.State,
            StartedAt = step.StartedAt,
            FinishedAt = step.FinishedAt,
            Attempts = step.Attempts,
            Detail = step.Detail,
        }));
        record.Disks.AddRange(status.Disks.Select((disk, i) => new MigrationDiskRecord
        {
            MigrationId = status.MigrationId,
            Target = disk.Target,
            Ordinal = i,
            Size = disk.Size,
            Frozen = disk.Frozen,
            FrozenFormat = disk.FrozenFormat,
            Backing = JsonSerializer.Serialize(disk.Backing),
            Overlay = disk.Overlay,
            Destination = disk.Destination,
            Port = disk.Port,
            Prepared = disk.Prepared,
            BytesRemaining = null,
            BytesVerified = null,
            BytesOverwritten = null,
        }));
        context.Migrations.Add(record);
        context.Events.Add(EventRecord.From(status));
        await LeaseFence.AddAsync(context, status.Source, epoch, cancellationToken);
    }

    /// <inheritdoc cref="AddAsync"/>
    public async Task UpdateAsync(MigrationStatus status, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var record = await context.Migrations.AsSplitQuery().Include(migration => migration.Steps).Include(migration => migration.Disks)
            .SingleOrDefaultAsync(migration => migration.MigrationId == status.MigrationId, cancellationToken);
        if (record is null)
        {
            // Lost with its database.
            await AddAsync(status, idempotencyKey: null, epoch, cancellationToken);
            await UpdateAsync(status, epoch, cancellationToken);
            return;
        }
        if (record.Epoch != epoch)
            throw new LeaseLostException(status.Source);
        if (record.State != status.State || record.Step != status.Step)
            context.Events.Add(EventRecord.From(status));
        record.State = status.State;
        record.CancelRequested = status.CancelRequested;
        record.Step = status.Step;
        record.Reason = status.Reason;
        record.ErrorCode = status.Error?.Code;
        record.ErrorDetail = status.Error?.Detail;
        record.Memory = status.Memory is null ? null : JsonSerializer.Serialize(status.Memory);
        record.LeftOnSource = JsonSerializer.Serialize(status.LeftOnSource);
        record.UpdatedAt = status.UpdatedAt;
        record.SwitchedAt = status.SwitchedAt;
        record.FinishedAt = status.FinishedAt;
        record.Generation = status.Generation;
        foreach (var step in record.Steps)
        {
            var now = status[step.Name];
            (step.State, step.StartedAt, step.FinishedAt, step.Attempts, step.Detail) = (now.State, now.StartedAt, now.FinishedAt, now.Attempts, now.Detail);
        }
        foreach (var disk in record.Disks)
        {
            var now = status.Disks.Single(moved => moved.Target == disk.Target);
            (disk.Port, disk.Prepared, disk.BytesRemaining, disk.BytesVerified, disk.BytesOverwritten) =
                (now.Port, now.Prepared, now.BytesRemaining, now.BytesVerified, now.BytesOverwritten);
        }
        try
        {
            await context.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateConcurrencyException)
        {
            throw new LeaseLostException(status.Source);
        }
    }

    public async Task<MigrationStatus?> FindAsync(Guid migrationId, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var record = await Whole(context).SingleOrDefaultAsync(migration => migration.MigrationId == migrationId, cancellationToken);
        return record is null ? null : ToStatus(record);
    }

    /// <summary>The migration that a request with this key began; null where there is none.</summary>
    public async Task<MigrationStatus?> FindByIdempotencyKeyAsync(string key, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var record = await Whole(context).FirstOrDefaultAsync(migration => migration.IdempotencyKey == key, cancellationToken);
        return record is null ? null : ToStatus(record);
    }

    /// <summary>All from a host that are not over, oldest first, to be gone on with; closed to earlier epochs from here on.</summary>
    public async Task<IReadOnlyList<MigrationStatus>> TakeUpAsync(string source, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        if (epoch > 0)
            await context.Migrations.Where(record => record.Source == source && !FinalStates.Contains(record.State) && record.Epoch < epoch)
                .ExecuteUpdateAsync(update => update.SetProperty(record => record.Epoch, epoch), cancellationToken);
        return [.. (await ListActiveAsync(cancellationToken)).Where(status => status.Source == source)];
    }

    /// <summary>All that are not over, oldest first.</summary>
    public async Task<IReadOnlyList<MigrationStatus>> ListActiveAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var records = await Whole(context).Where(migration => !FinalStates.Contains(migration.State)).OrderBy(migration => migration.CreatedAt).ToListAsync(cancellationToken);
        return [.. records.Select(ToStatus)];
    }

    /// <summary>A page of migrations, the newest first.</summary>
    public async Task<IReadOnlyList<MigrationStatus>> ListAsync(MigrationFilter filter, PagePosition? after, int limit, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var query = Whole(context);
        if (filter.States is { } states)
            query = query.Where(record => states.Contains(record.State));
        if (filter.Host is { } host)
            query = query.Where(record => record.Source == host || record.Destination == host);
        if (filter.Domain is { } domain)
            query = query.Where(record => record.Domain == domain);
        if (after is not null)
            query = query.Where(record => record.CreatedAt < after.CreatedAt
                || (record.CreatedAt == after.CreatedAt && record.MigrationId.CompareTo(after.Id) < 0));
        var records = await query.OrderByDescending(record => record.CreatedAt).ThenByDescending(record => record.MigrationId).Take(limit).ToListAsync(cancellationToken);
        return [.. records.Select(ToStatus)];
    }

    /// <summary>Those that are not over, or have not been since a moment.</summary>
    public async Task<IReadOnlyList<MigrationStatus>> ListSinceAsync(DateTimeOffset since, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var records = await Whole(context).Where(record => !FinalStates.Contains(record.State) || record.FinishedAt >= since).ToListAsync(cancellationToken);
        return [.. records.Select(ToStatus)];
    }

    /// <summary>Puts on record that a completed migration's files on the source are deleted.</summary>
    public async Task ForgetLeftAsync(MigrationStatus status, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Migrations.Where(record => record.MigrationId == status.MigrationId && record.State == MigrationState.Completed)
            .ExecuteUpdateAsync(update => update
                .SetProperty(record => record.LeftOnSource, JsonSerializer.Serialize(status.LeftOnSource))
                .SetProperty(record => record.UpdatedAt, status.UpdatedAt)
                .SetProperty(record => record.Generation, status.Generation), cancellationToken);
    }

    /// <summary>What a disk's overlay held when the recording of guest writes began; null before that.</summary>
    public async Task<byte[]?> FindWrittenAsync(Guid migrationId, string target, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return (await context.MigrationWrites.FindAsync([migrationId, target], cancellationToken))?.Blocks;
    }

    public async Task AddWrittenAsync(Guid migrationId, string target, byte[] blocks, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        context.MigrationWrites.Add(new MigrationWrittenRecord { MigrationId = migrationId, Target = target, Blocks = blocks });
        await context.SaveChangesAsync(cancellationToken);
    }

    public async Task RemoveWrittenAsync(Guid migrationId, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.MigrationWrites.Where(written => written.MigrationId == migrationId).ExecuteDeleteAsync(cancellationToken);
    }

    private static IQueryable<MigrationRecord> Whole(StreamDbContext context) =>
        context.Migrations.AsNoTracking().AsSplitQuery().Include(migration => migration.Steps).Include(migration => migration.Disks);

    private static MigrationStatus ToStatus(MigrationRecord record) => new(
        record.MigrationId,
        record.Domain,
        record.DomainName,
        record.Source,
        new MigrationSpec(record.Destination, JsonSerializer.Deserialize<StreamSpec>(record.Stream)!, record.Verify, record.Format, record.Folder),
        record.Persistent,
        record.Autostart,
        record.Address,
        record.State,
        record.CancelRequested,
        record.Step,
        record.Reason,
        record.ErrorCode is null ? null : new MigrationError(record.ErrorCode, record.ErrorDetail ?? ""),
        [.. record.Steps.OrderBy(step => step.Name).Select(step => new MigrationStep(step.Name, step.State, step.StartedAt, step.FinishedAt, step.Attempts, step.Detail))],
        [.. record.Disks.OrderBy(disk => disk.Ordinal).Select(disk => new MigrationDisk(
            disk.Target, disk.Size, disk.Frozen, disk.FrozenFormat, JsonSerializer.Deserialize<List<ChainImage>>(disk.Backing)!, disk.Overlay, disk.Destination, disk.Port)
        {
            Prepared = disk.Prepared,
            BytesRemaining = disk.BytesRemaining,
            BytesVerified = disk.BytesVerified,
            BytesOverwritten = disk.BytesOverwritten,
        })],
        record.Memory is null ? null : JsonSerializer.Deserialize<MemoryProgress>(record.Memory),
        JsonSerializer.Deserialize<List<string>>(record.LeftOnSource)!,
        record.CreatedAt,
        record.UpdatedAt,
        record.SwitchedAt,
        record.FinishedAt,
        record.Generation)
    {
        Labels = new LabelSet(record.Labels),
    };
}
