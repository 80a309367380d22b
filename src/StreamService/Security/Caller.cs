using System.Collections.Immutable;
using System.Security.Claims;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Security;

/// <summary>Who calls, what that caller may do, and where.</summary>
/// <param name="Name">As the configuration, or the provider's token, has it.</param>
/// <param name="Scopes">Of <see cref="Security.Scopes"/>.</param>
/// <param name="Hosts">The hosts it is limited to; empty for all.</param>
/// <param name="Labels">It is limited to domains with one of these labels; empty for all.</param>
public sealed record Caller(string Name, ImmutableHashSet<string> Scopes, ImmutableHashSet<string> Hosts, ImmutableHashSet<string> Labels)
{
    /// <summary>The claims of our own identities.</summary>
    internal const string NameClaim = "name", ScopeClaim = "scope", HostClaim = "host", LabelClaim = "label";

    /// <summary>The name of callers where no authentication is configured.</summary>
    public const string Anybody = "anybody";

    /// <summary>Whether there is anything that it does not see.</summary>
    public bool IsLimited => Hosts.Count > 0 || Labels.Count > 0;

    /// <summary>Whether it may do what the scope stands for.</summary>
    public bool May(string scope) => Scopes.Contains(scope) || Scopes.Contains(Security.Scopes.Admin);

    /// <summary>Whether the host exists for it.</summary>
    public bool Sees(string host) => Hosts.Count == 0 || Hosts.Contains(host);

    /// <summary>Whether a domain with those labels on that host exists for it.</summary>
    public bool Sees(string host, LabelSet labels) => Sees(host) && (Labels.Count == 0 || labels.Any(Labels.Contains));

    /// <summary>Whether the domain exists for it.</summary>
    public bool Sees(DomainInfo domain) => Sees(domain.Host, LabelSet.Of(domain.Labels));

    /// <summary>Whether the stream exists for it.</summary>
    public bool Sees(StreamStatus stream) => Sees(stream.Disk.Host, stream.Labels);

    /// <summary>The filter, narrowed to the streams that exist for it: as <see cref="Sees(StreamStatus)"/>, but asked of the database.</summary>
    public StreamFilter Within(StreamFilter filter) => filter with { Hosts = Hosts.Count == 0 ? null : Hosts, Labels = Labels.Count == 0 ? null : Labels };

    /// <summary>Whether the migration exists for it: only where both of its hosts do.</summary>
    public bool Sees(MigrationStatus migration) => Sees(migration.Source, migration.Labels) && Sees(migration.Spec.Destination);

    /// <summary>Reads a signed-in caller; nobody, who may do nothing, where none is.</summary>
    public static Caller Of(ClaimsPrincipal principal) => new(
        principal.FindFirstValue(NameClaim) ?? "nobody",
        Values(principal, ScopeClaim),
        Values(principal, HostClaim),
        Values(principal, LabelClaim));

    /// <summary>The same as an identity.</summary>
    internal ClaimsPrincipal ToPrincipal(string scheme) => new(new ClaimsIdentity(
        [
            new Claim(NameClaim, Name),
            .. Scopes.Select(scope => new Claim(ScopeClaim, scope)),
            .. Hosts.Select(host => new Claim(HostClaim, host)),
            .. Labels.Select(label => new Claim(LabelClaim, label)),
        ],
        scheme, NameClaim, roleType: null));

    private static ImmutableHashSet<string> Values(ClaimsPrincipal principal, string type) => [.. principal.FindAll(type).Select(claim => claim.Value)];
}
