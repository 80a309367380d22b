using Microsoft.EntityFrameworkCore;
using StreamService.Deployment;

namespace StreamService.Storage;

/// <summary>One domain that this service deployed: enough to undo it, or to remove it, after any crash.</summary>
public sealed class DeploymentRecord
{
    public required Guid Domain { get; init; }
    public required string Name { get; init; }
    public required string Host { get; init; }

    /// <summary>The image, as <c>repository/name</c>.</summary>
    public required string Image { get; init; }

    /// <summary>Its path or URI.</summary>
    public required string ImageSource { get; init; }

    /// <summary>Of the image when the overlay was made on it.</summary>
    public required string ImageFingerprint { get; init; }

    /// <summary>The overlay's file.</summary>
    public required string Overlay { get; init; }

    /// <summary>The disk's target.</summary>
    public required string Target { get; init; }

    /// <summary>Of the disk, in bytes.</summary>
    public required long Size { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The Idempotency-Key it was asked for with.</summary>
    public required string? IdempotencyKey { get; init; }

    public required DeploymentState State { get; set; }
}

/// <summary>Keeps what this service deployed.</summary>
public sealed class DeploymentStore(IDbContextFactory<StreamDbContext> contexts)
{
    /// <param name="epoch">Of the host's term.</param>
    /// <exception cref="LeaseLostException">A later one has begun.</exception>
    public async Task AddAsync(DeploymentRecord deployment, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        context.Deployments.Add(deployment);
        await LeaseFence.AddAsync(context, deployment.Host, epoch, cancellationToken);
    }

    public async Task SetStateAsync(Guid domain, DeploymentState state, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Deployments.Where(record => record.Domain == domain)
            .ExecuteUpdateAsync(update => update.SetProperty(record => record.State, state), cancellationToken);
    }

    public async Task RemoveAsync(Guid domain, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Deployments.Where(record => record.Domain == domain).ExecuteDeleteAsync(cancellationToken);
    }

    /// <summary>The deployment with that domain's UUID or name, on any host; the newest of several.</summary>
    public async Task<DeploymentRecord?> FindAsync(string idOrName, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var known = context.Deployments.AsNoTracking();
        return Guid.TryParse(idOrName, out var id) && await known.SingleOrDefaultAsync(record => record.Domain == id, cancellationToken) is { } byId
            ? byId
            : await known.Where(record => record.Name == idOrName).OrderByDescending(record => record.CreatedAt).FirstOrDefaultAsync(cancellationToken);
    }

    /// <summary>Of these domains those that this service has deployed, by their UUIDs.</summary>
    public async Task<IReadOnlyDictionary<Guid, DeploymentRecord>> ListOfAsync(IReadOnlyCollection<Guid> domains, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Deployments.AsNoTracking()
            .Where(record => domains.Contains(record.Domain) && record.State == DeploymentState.Deployed)
            .ToDictionaryAsync(record => record.Domain, cancellationToken);
    }

    /// <summary>The deployment that a request with this key began; null where there is none.</summary>
    public async Task<DeploymentRecord?> FindByIdempotencyKeyAsync(string key, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Deployments.AsNoTracking().FirstOrDefaultAsync(record => record.IdempotencyKey == key, cancellationToken);
    }

    /// <summary>Those whose overlays were made on that image, by its path or URI.</summary>
    public async Task<IReadOnlyList<DeploymentRecord>> ListFromAsync(string imageSource, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Deployments.AsNoTracking().Where(record => record.ImageSource == imageSource).ToListAsync(cancellationToken);
    }

    /// <summary>Those whose overlays lie in that folder.</summary>
    public async Task<IReadOnlyList<DeploymentRecord>> ListInAsync(string folder, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var prefix = Path.TrimEndingDirectorySeparator(folder) + "/";
        var records = await context.Deployments.AsNoTracking().Where(record => record.Overlay.StartsWith(prefix)).ToListAsync(cancellationToken);
        // SQLite takes A and a for the same there.
        return [.. records.Where(record => record.Overlay.StartsWith(prefix, StringComparison.Ordinal))];
    }

    /// <summary>Those that are being made or removed, or were when a service ended.</summary>
    public async Task<IReadOnlyList<DeploymentRecord>> ListUnfinishedAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Deployments.AsNoTracking().Where(record => record.State != DeploymentState.Deployed).OrderBy(record => record.CreatedAt).ToListAsync(cancellationToken);
    }
}
