using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using StreamService.Fleet;
using StreamService.Streaming.Budgets;

namespace StreamService.Storage.PostgreSql;

/// <summary>Who is there of the fleet and who drives what, by the database's clock.</summary>
public sealed class FleetStore(IDbContextFactory<StreamDbContext> contexts, DatabaseSignals signals)
{
    /// <summary>Told when a replica has come or gone, or a host has got or wants another driver.</summary>
    public const string Topic = "fleet";

    private static readonly TimeSpan Forgotten = TimeSpan.FromDays(1);

    private static readonly long DeadAfter = (long)FleetTimes.DeadAfter.TotalMilliseconds;

    private readonly ConcurrentDictionary<Guid, IReadOnlyDictionary<string, bool>> _hosts = new();

    /// <summary>Says that a replica lives, once the others know it.</summary>
    /// <returns>False where they do not.</returns>
    public async Task<bool> BeatAsync(string name, Guid instance, IReadOnlyDictionary<string, BudgetLoad> budgets, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Database.ExecuteSqlAsync($"""
            UPDATE "Replicas" SET "BeatAt" = (extract(epoch from clock_timestamp()) * 1000)::bigint, "Budgets" = {JsonSerializer.Serialize(budgets)}
            WHERE "Name" = {name} AND "Instance" = {instance}
            """, cancellationToken) > 0;
    }

    /// <summary>Makes a replica known to the others.</summary>
    /// <returns>False where another process lives under its name.</returns>
    public async Task<bool> JoinAsync(string name, Guid instance, Uri url, string version, IReadOnlyDictionary<string, bool> hosts, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        // Those that will not come back under their names: pods, say.
        await context.Database.ExecuteSqlAsync($"""
            DELETE FROM "Replicas" WHERE "BeatAt" < (extract(epoch from clock_timestamp()) * 1000)::bigint - {(long)Forgotten.TotalMilliseconds}
            """, cancellationToken);
        return await context.Database.ExecuteSqlAsync($"""
            INSERT INTO "Replicas" AS known ("Name", "Instance", "Url", "Version", "BeatAt", "Hosts", "Budgets")
            VALUES ({name}, {instance}, {url.ToString()}, {version}, (extract(epoch from clock_timestamp()) * 1000)::bigint, {JsonSerializer.Serialize(hosts)}, {"{}"})
            ON CONFLICT ("Name") DO UPDATE SET "Instance" = excluded."Instance", "Url" = excluded."Url", "Version" = excluded."Version",
                "BeatAt" = excluded."BeatAt", "Hosts" = excluded."Hosts", "Budgets" = excluded."Budgets"
            WHERE known."Instance" = excluded."Instance" OR known."BeatAt" < excluded."BeatAt" - {DeadAfter}
            """, cancellationToken) > 0;
    }

    /// <summary>Takes a replica that stops from the list, and tells the others.</summary>
    public async Task LeaveAsync(string name, Guid instance, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Replicas.Where(replica => replica.Name == name && replica.Instance == instance).ExecuteDeleteAsync(cancellationToken);
        await signals.NotifyAsync(context, Topic, name, cancellationToken);
    }

    /// <summary>The replicas that live.</summary>
    public async Task<IReadOnlyList<Replica>> ListReplicasAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var records = await context.Replicas.FromSql($"""
            SELECT * FROM "Replicas" WHERE "BeatAt" > (extract(epoch from clock_timestamp()) * 1000)::bigint - {DeadAfter}
            """).Select(record => new { record.Name, record.Instance, record.Url, record.Budgets }).ToListAsync(cancellationToken);
        // What a replica can drive is long, and stays the same as long as it lives.
        var unknown = records.Select(record => record.Instance).Where(instance => !_hosts.ContainsKey(instance)).ToList();
        if (unknown.Count > 0)
            foreach (var joined in await context.Replicas.Where(record => unknown.Contains(record.Instance)).Select(record => new { record.Instance, record.Hosts }).ToListAsync(cancellationToken))
                _hosts[joined.Instance] = JsonSerializer.Deserialize<Dictionary<string, bool>>(joined.Hosts)!;
        return
        [
            .. from record in records
               where _hosts.ContainsKey(record.Instance)
               select new Replica(record.Name, record.Instance, new Uri(record.Url), _hosts[record.Instance], JsonSerializer.Deserialize<Dictionary<string, BudgetLoad>>(record.Budgets)!),
        ];
    }

    /// <summary>The leases, and the migrations that are not over.</summary>
    public async Task<(IReadOnlyDictionary<string, HostLease> Leases, IReadOnlyList<(string Source, string Destination)> Migrations)> ListLeasesAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var leases = await context.HostLeases.AsNoTracking().ToListAsync(cancellationToken);
        var migrations = await context.Migrations.Where(MigrationStore.IsActive).OrderBy(migration => migration.CreatedAt)
            .Select(migration => new { migration.Source, migration.Destination }).ToListAsync(cancellationToken);
        return (leases.ToDictionary(lease => lease.Host, lease => new HostLease(lease.Host, lease.Epoch, lease.Driver, lease.WantedBy)), [.. migrations.Select(migration => (migration.Source, migration.Destination))]);
    }

    /// <summary>Makes a replica the driver of a host, unless one that lives is.</summary>
    /// <returns>The new epoch; null where one is.</returns>
    public async Task<long?> TakeAsync(string host, string name, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var taken = await context.Database.SqlQuery<long>($"""
            INSERT INTO "HostLeases" AS lease ("Host", "Epoch", "Driver", "WantedBy") VALUES ({host}, 1, {name}, NULL)
            ON CONFLICT ("Host") DO UPDATE SET "Epoch" = lease."Epoch" + 1, "Driver" = excluded."Driver"
            WHERE lease."Driver" IS NULL OR lease."Driver" = excluded."Driver" OR NOT EXISTS (
                SELECT 1 FROM "Replicas" WHERE "Name" = lease."Driver" AND "BeatAt" > (extract(epoch from clock_timestamp()) * 1000)::bigint - {DeadAfter})
            RETURNING "Epoch" AS "Value"
            """).ToListAsync(cancellationToken);
        return taken is [var epoch] ? epoch : null;
    }

    /// <summary>Tells all replicas that a host has a driver, or has none.</summary>
    public Task TellAsync(string host, CancellationToken cancellationToken) => signals.NotifyAsync(Topic, host, cancellationToken);

    /// <summary>Whether nobody has taken the host since.</summary>
    public async Task<bool> IsOfAsync(string host, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.HostLeases.AnyAsync(lease => lease.Host == host && lease.Epoch == epoch, cancellationToken);
    }

    /// <summary>Gives a host back. Those who would take it are to be told once its lock is free too.</summary>
    public async Task GiveBackAsync(string host, long epoch, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.HostLeases.Where(lease => lease.Host == host && lease.Epoch == epoch)
            .ExecuteUpdateAsync(update => update.SetProperty(lease => lease.Driver, (string?)null), cancellationToken);
    }

    /// <summary>Says that a replica needs a host though another drives it, and tells all replicas.</summary>
    /// <returns>False where a third one needs it already.</returns>
    public async Task<bool> WantAsync(string host, string name, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var wanted = await context.Database.ExecuteSqlAsync($"""
            UPDATE "HostLeases" AS lease SET "WantedBy" = {name}
            WHERE "Host" = {host} AND ("WantedBy" IS NULL OR "WantedBy" = {name} OR NOT EXISTS (
                SELECT 1 FROM "Replicas" WHERE "Name" = lease."WantedBy" AND "BeatAt" > (extract(epoch from clock_timestamp()) * 1000)::bigint - {DeadAfter}))
            """, cancellationToken) > 0;
        await signals.NotifyAsync(context, Topic, host, cancellationToken);
        return wanted;
    }

    /// <summary>Says that it needs it no more.</summary>
    public async Task WantNoMoreAsync(string host, string name, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.HostLeases.Where(lease => lease.Host == host && lease.WantedBy == name)
            .ExecuteUpdateAsync(update => update.SetProperty(lease => lease.WantedBy, (string?)null), cancellationToken);
        await signals.NotifyAsync(context, Topic, host, cancellationToken);
    }

    /// <summary>
    /// Ends the database session that holds an advisory lock: its replica is taken for dead, and the database does not know that yet. A process
    /// that stands still, or a machine that vanished, would keep it for hours.
    /// </summary>
    public async Task EndSessionAsync(long advisoryLock, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Database.ExecuteSqlAsync($"""
            SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (classid::bigint << 32) + objid::bigint = {advisoryLock}
            """, cancellationToken);
    }

    /// <summary>On which host the records have a domain, by its UUID or name; null where they know none.</summary>
    public async Task<string?> FindHostOfDomainAsync(string idOrName, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var id = Guid.TryParse(idOrName, out var parsed) ? parsed : (Guid?)null;
        return await context.Streams.Where(StreamStore.IsActive).Where(stream => id == null ? stream.DomainName == idOrName : stream.Domain == id)
                .OrderByDescending(stream => stream.CreatedAt).Select(stream => stream.Host).FirstOrDefaultAsync(cancellationToken)
            ?? await context.Deployments.Where(deployment => id == null ? deployment.Name == idOrName : deployment.Domain == id)
                .OrderByDescending(deployment => deployment.CreatedAt).Select(deployment => deployment.Host).FirstOrDefaultAsync(cancellationToken);
    }
}
