using System.Globalization;

namespace StreamService.Client;

public sealed partial class StreamServiceClient
{
    /// <summary>Migrates a running domain with its disks. Answers once nothing stands in the way.</summary>
    /// <param name="domain">The domain's UUID, or its name where one host only has it.</param>
    /// <param name="migration">Where to, and how.</param>
    /// <param name="idempotencyKey">The same key and request answer as the first time did.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Migration> MigrateAsync(string domain, MigrationOptions migration, string? idempotencyKey = null, CancellationToken cancellationToken = default) =>
        _api.SendAsync<Migration>(HttpMethod.Post, Address.Of("domains", domain, "migrations"), migration, cancellationToken, idempotencyKey);

    /// <summary>Migrations, the newest first.</summary>
    /// <param name="filter">Only those.</param>
    /// <param name="pageSize">How many are asked for at once, 1 to 1000.</param>
    /// <param name="cancellationToken">Ends the list.</param>
    public IAsyncEnumerable<Migration> ListMigrationsAsync(MigrationFilter? filter = null, int pageSize = DefaultPageSize, CancellationToken cancellationToken = default) =>
        _api.ListAsync<Migration>(Address.Of("migrations").WithAll("state", filter?.States ?? []).With("host", filter?.Host).With("domain", filter?.Domain), pageSize, cancellationToken);

    /// <summary>One migration.</summary>
    /// <param name="migrationId">Its id.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Migration> GetMigrationAsync(Guid migrationId, CancellationToken cancellationToken = default) =>
        _api.GetAsync<Migration>(Of(migrationId), cancellationToken);

    /// <summary>The migration, once it has reached a generation, is over, or the time is.</summary>
    /// <param name="migrationId">Its id.</param>
    /// <param name="generation">One more than that of the picture one has.</param>
    /// <param name="wait">At most 5 minutes.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Migration> WaitForGenerationAsync(Guid migrationId, long generation, TimeSpan wait, CancellationToken cancellationToken = default) =>
        _api.GetAsync<Migration>(
            Of(migrationId).With("waitForGeneration", generation.ToString(CultureInfo.InvariantCulture)).With("timeoutSeconds", wait.TotalSeconds.ToString(CultureInfo.InvariantCulture)),
            cancellationToken, wait);

    /// <summary>Undoes a migration before its switch.</summary>
    /// <param name="migrationId">Its id.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Migration> CancelMigrationAsync(Guid migrationId, CancellationToken cancellationToken = default) =>
        _api.SendAsync<Migration>(HttpMethod.Delete, Of(migrationId), body: null, cancellationToken);

    /// <summary>Deletes what a completed migration left on the source.</summary>
    /// <param name="migrationId">Its id.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Migration> RemoveLeftOnSourceAsync(Guid migrationId, CancellationToken cancellationToken = default) =>
        _api.SendAsync<Migration>(HttpMethod.Delete, Of(migrationId).With("storage", "true"), body: null, cancellationToken);

    private static Address Of(Guid migrationId) => Address.Of("migrations", migrationId.ToString());
}
