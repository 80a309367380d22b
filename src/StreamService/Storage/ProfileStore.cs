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
    private static readonly SemaphoreSlim Learning = new(1, 1);

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
        var extents = JsonSerializer.Serialize(profile.Extents);
        if (await context.Profiles.FindAsync([profile.Source], cancellationToken) is { } record)
            (record.Fingerprint, record.Deployments, record.Extents, record.UpdatedAt) = (profile.Fingerprint, profile.Deployments, extents, profile.UpdatedAt);
        else
            context.Profiles.Add(new ProfileRecord
            {
                Source = profile.Source,
                Fingerprint = profile.Fingerprint,
                Deployments = profile.Deployments,
                Extents = extents,
                UpdatedAt = profile.UpdatedAt,
            });
        await context.SaveChangesAsync(cancellationToken);
    }

    /// <summary>Adds what one more deployment read. A profile of the image as it was before somebody changed it is begun anew.</summary>
    public async Task LearnAsync(string source, string fingerprint, GuestReads reads, CancellationToken cancellationToken)
    {
        // Several deployments may end their first seconds at once, and each must count.
        await Learning.WaitAsync(cancellationToken);
        try
        {
            var now = time.GetUtcNow();
            var known = await FindAsync(source, cancellationToken);
            if (known?.Fingerprint != fingerprint)
                known = new ImageProfile(source, fingerprint, Deployments: 0, [], now);
            await PutAsync(known.With(reads, now), cancellationToken);
        }
        finally
        {
            Learning.Release();
        }
    }

    /// <returns>Whether there was one.</returns>
    public async Task<bool> RemoveAsync(string source, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Profiles.Where(record => record.Source == source).ExecuteDeleteAsync(cancellationToken) > 0;
    }
}
