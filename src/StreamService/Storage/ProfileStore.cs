using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using StreamService.Streaming.Profiles;

namespace StreamService.Storage;

/// <summary>The profile of one image.</summary>
public sealed class ProfileRecord
{
    /// <summary>The image's path or URI.</summary>
    public required string Source { get; init; }

    public required string Fingerprint { get; set; }
    public required int Deployments { get; set; }

    /// <summary>As JSON: they are only ever read together.</summary>
    public required string Extents { get; set; }

    public required DateTimeOffset UpdatedAt { get; set; }
}

/// <summary>Keeps the profiles of images.</summary>
public sealed class ProfileStore(IDbContextFactory<StreamDbContext> contexts, TimeProvider time)
{
    /// <summary>The profile of an image; null where it has none.</summary>
    public async Task<ImageProfile?> FindAsync(string source, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Profiles.AsNoTracking().SingleOrDefaultAsync(record => record.Source == source, cancellationToken) is { } record
            ? new ImageProfile(record.Source, record.Fingerprint, record.Deployments,
                JsonSerializer.Deserialize<List<ProfileExtent>>(record.Extents) ?? [], record.UpdatedAt)
            : null;
    }

    /// <summary>Adds it, or replaces the one of that image.</summary>
    public async Task PutAsync(ImageProfile profile, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var next = Record(profile);
        if (await context.Profiles.FindAsync([profile.Source], cancellationToken) is { } record)
            (record.Fingerprint, record.Deployments, record.Extents, record.UpdatedAt) = (next.Fingerprint, next.Deployments, next.Extents, next.UpdatedAt);
        else
            context.Profiles.Add(next);
        await context.SaveChangesAsync(cancellationToken);
    }

    /// <summary>Adds what one more deployment read. A profile of the image as it was before somebody changed it is begun anew.</summary>
    public async Task LearnAsync(string source, string fingerprint, GuestReads reads, CancellationToken cancellationToken)
    {
        // Several deployments may end their first seconds at once, on several replicas, and each must count.
        while (true)
        {
            var now = time.GetUtcNow();
            var known = await FindAsync(source, cancellationToken);
            var begun = known?.Fingerprint == fingerprint ? known : new ImageProfile(source, fingerprint, Deployments: 0, [], now);
            if (await ReplaceAsync(known, begun.With(reads, now), cancellationToken))
                return;
        }
    }

    /// <returns>Whether the profile on record was the known one still.</returns>
    private async Task<bool> ReplaceAsync(ImageProfile? known, ImageProfile profile, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        if (known is not null)
        {
            var extents = JsonSerializer.Serialize(profile.Extents);
            return await context.Profiles
                .Where(record => record.Source == known.Source && record.Fingerprint == known.Fingerprint && record.Deployments == known.Deployments && record.UpdatedAt == known.UpdatedAt)
                .ExecuteUpdateAsync(update => update
                    .SetProperty(record => record.Fingerprint, profile.Fingerprint)
                    .SetProperty(record => record.Deployments, profile.Deployments)
                    .SetProperty(record => record.Extents, extents)
                    .SetProperty(record => record.UpdatedAt, profile.UpdatedAt), cancellationToken) == 1;
        }
        context.Profiles.Add(Record(profile));
        try
        {
            await context.SaveChangesAsync(cancellationToken);
            return true;
        }
        catch (DbUpdateException)
        {
            if (await FindAsync(profile.Source, cancellationToken) is null)
                throw;
            return false;
        }
    }

    private static ProfileRecord Record(ImageProfile profile) => new()
    {
        Source = profile.Source,
        Fingerprint = profile.Fingerprint,
        Deployments = profile.Deployments,
        Extents = JsonSerializer.Serialize(profile.Extents),
        UpdatedAt = profile.UpdatedAt,
    };

    /// <returns>Whether there was one.</returns>
    public async Task<bool> RemoveAsync(string source, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Profiles.Where(record => record.Source == source).ExecuteDeleteAsync(cancellationToken) > 0;
    }
}
