using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using StreamService.Api;
using StreamService.Hypervisors;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;

namespace StreamService.Fleet;

/// <summary>Finds the replica that a request is for.</summary>
public sealed class DriverLookup(Membership membership, FleetPeers peers, FleetStore fleet, StreamStore streams, MigrationStore migrations, TimeProvider time)
{
    /// <summary>How long it is remembered where a domain is: a name for a short time, for another host may get one of the same.</summary>
    private static readonly TimeSpan RememberId = TimeSpan.FromSeconds(30), RememberName = TimeSpan.FromSeconds(5);

    private readonly LookupCache _known = new(time);

    /// <summary>The replica that drives what the request is about; null for this one, and for what it answers as well as any.</summary>
    /// <exception cref="HostUnreachableException">At present none does.</exception>
    /// <exception cref="AmbiguousDomainException">Several hosts have a domain of that name.</exception>
    /// <exception cref="DomainNotFoundException">No replica knows it.</exception>
    public async Task<Replica?> FindAsync(HttpContext context, HostOf of) => of switch
    {
        HostOf.Domain => await FindDomainAsync(context, (string)context.GetRouteValue("id")!),
        HostOf.DomainQuery => DomainQuery(context) is { } name ? await FindDomainAsync(context, name) : null,
        HostOf.Query => context.Request.Query["host"].ToString() is { Length: > 0 } host ? At(host, context) : null,
        HostOf.Body => await ReadHostAsync(context.Request) is { } host ? At(host, context) : null,
        HostOf.Stream => Guid.TryParse((string)context.GetRouteValue("streamId")!, out var id)
            && await streams.FindAsync(id, context.RequestAborted) is { IsFinal: false } stream ? AtOrHere(stream.Disk.Host) : null,
        HostOf.Migration => Guid.TryParse((string)context.GetRouteValue("migrationId")!, out var id)
            && await migrations.FindAsync(id, context.RequestAborted) is { } migration
            // What is over, or waits for its driver, can be read from its record.
            ? HttpMethods.IsGet(context.Request.Method) ? (migration.IsFinal ? null : AtOrHere(migration.Source)) : At(migration.Source, context)
            : null,
        _ => throw new ArgumentOutOfRangeException(nameof(of), of, "A request without a rule."),
    };

    /// <summary>Whether a request that another replica sent here is for this one.</summary>
    public async Task<bool> IsHereAsync(HttpContext context, HostOf of)
    {
        if (of is not (HostOf.Domain or HostOf.DomainQuery))
            return await FindAsync(context, of) is null;
        if ((of == HostOf.Domain ? (string?)context.GetRouteValue("id") : DomainQuery(context)) is not { } id)
            return true;
        try
        {
            await Visible(context).FindDomainAsync(id, context.RequestAborted);
            return true;
        }
        catch (DomainNotFoundException)
        {
            return await fleet.FindHostOfDomainAsync(id, context.RequestAborted) is { } host && membership.View.DriverOf(host)?.Instance == membership.Instance;
        }
        catch (Exception exception) when (exception is HostUnreachableException or AmbiguousDomainException)
        {
            // The call itself says so.
            return true;
        }
    }

    private static string? DomainQuery(HttpContext context) =>
        context.Request.Query["domain"].ToString() is { Length: > 0 } name && !Guid.TryParse(name, out _) ? name : null;

    /// <summary>Forgets where a domain was thought to be.</summary>
    public void Forget(HttpContext context)
    {
        if (context.GetRouteValue("id") is string id)
            _known.Forget(id);
    }

    private async Task<Replica?> FindDomainAsync(HttpContext context, string idOrName)
    {
        var isId = Guid.TryParse(idOrName, out _);
        var known = _known.Find(idOrName);
        if (known is not null && known != membership.Name && membership.View.Find(known) is { } replica)
            return replica;
        var (own, unreachable) = await FindOwnAsync(context, idOrName);
        // It was looked for everywhere not long ago; that it is still here was seen just now.
        if (own is not null && known == membership.Name)
            return null;
        // A UUID is nobody else's; a name may be.
        var others = own is not null && isId ? [] : await Task.WhenAll(membership.Others.Select(async replica =>
            (Replica: replica, Answer: await peers.AskAsync<DomainView>(replica, context, $"/domains/{Uri.EscapeDataString(idOrName)}"))));
        var found = others.Where(other => other.Answer.Value is not null).Select(other => ((Replica?)other.Replica, Domain: other.Answer.Value!)).ToList();
        if (own is not null)
            found.Add((null, DomainView.From(own, deployment: null)));
        if (found.Count > 1 && found.Select(match => match.Domain.Id).Distinct().Count() > 1)
            throw new AmbiguousDomainException(idOrName, [.. found.Select(match => match.Domain.Host).Order(StringComparer.Ordinal)]);
        if (found.Count > 0)
        {
            // One that is on two hosts has migrated: where it runs it is meant.
            var (at, _) = found.OrderBy(match => match.Domain.State is DomainState.Running or DomainState.Blocked ? 0 : 1).First();
            _known.Remember(idOrName, at?.Name ?? membership.Name, isId ? RememberId : RememberName);
            return at;
        }
        if (others.FirstOrDefault(other => other.Answer.Status == HttpStatusCode.Conflict).Replica is { } ambiguous)
            return ambiguous;
        // Its host may be away, or the domain; what is on record of it is with the host's driver all the same.
        if (await fleet.FindHostOfDomainAsync(idOrName, context.RequestAborted) is { } host)
            return At(host, context);
        if (unreachable is not null)
            throw unreachable;
        if (others.FirstOrDefault(other => other.Answer.Status is null or HttpStatusCode.ServiceUnavailable).Replica is { } silent)
        {
            var away = membership.View.Leases.Values.Where(lease => lease.Driver == silent.Name).Select(lease => lease.Host).Order(StringComparer.Ordinal).FirstOrDefault();
            throw new HostUnreachableException(away ?? silent.Name, $"Replica {silent.Name}, which drives it, does not answer, or does not reach it.");
        }
        throw new DomainNotFoundException(idOrName);
    }

    private static async Task<(DomainInfo? Domain, Exception? Unreachable)> FindOwnAsync(HttpContext context, string idOrName)
    {
        try
        {
            return ((await Visible(context).FindDomainAsync(idOrName, context.RequestAborted)).Domain, null);
        }
        catch (DomainNotFoundException)
        {
            return (null, null);
        }
        catch (HostUnreachableException unreachable)
        {
            return (null, unreachable);
        }
    }

    /// <summary>The driver of a host that must have one; null for this replica, and for a host that is not known.</summary>
    private Replica? At(string host, HttpContext context)
    {
        var driver = membership.View.DriverOf(host);
        if (driver is null && (membership.View.Leases.ContainsKey(host) || membership.View.Replicas.Any(replica => replica.Hosts.ContainsKey(host)))
            && context.RequestServices.GetRequiredService<Caller>().Sees(host))
            throw new HostUnreachableException(host, HostTerms.NoDriver);
        return driver?.Instance == membership.Instance ? null : driver;
    }

    private Replica? AtOrHere(string host) => membership.View.DriverOf(host) is { } driver && driver.Instance != membership.Instance ? driver : null;

    private static VisibleHosts Visible(HttpContext context) => context.RequestServices.GetRequiredService<VisibleHosts>();

    /// <summary>The member <c>host</c> of a JSON object; null where there is none. What is wrong with the body the call itself says.</summary>
    private static async Task<string?> ReadHostAsync(HttpRequest request)
    {
        request.EnableBuffering();
        try
        {
            using var body = await JsonDocument.ParseAsync(request.Body, default, request.HttpContext.RequestAborted);
            return body.RootElement.ValueKind == JsonValueKind.Object && body.RootElement.TryGetProperty("host", out var host) && host.ValueKind == JsonValueKind.String ? host.GetString() : null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            return null;
        }
        finally
        {
            request.Body.Position = 0;
        }
    }
}

/// <summary>Where things were found, for a while.</summary>
public sealed class LookupCache(TimeProvider time)
{
    /// <summary>So many are remembered; then all are forgotten.</summary>
    private const int Most = 100_000;

    private readonly ConcurrentDictionary<string, (string Where, long Since, TimeSpan For)> _known = new();

    /// <summary>Where it was found; null where that is not known any more.</summary>
    public string? Find(string what) => _known.TryGetValue(what, out var known) && time.GetElapsedTime(known.Since) < known.For ? known.Where : null;

    public void Remember(string what, string where, TimeSpan @for)
    {
        if (_known.Count >= Most)
            _known.Clear();
        _known[what] = (where, time.GetTimestamp(), @for);
    }

    public void Forget(string what) => _known.TryRemove(what, out _);
}
