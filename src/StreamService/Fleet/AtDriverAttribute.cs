namespace StreamService.Fleet;

/// <summary>What of a request tells which host it is about.</summary>
public enum HostOf
{
    /// <summary>The domain in the route value <c>id</c>, by UUID or name.</summary>
    Domain,

    /// <summary>The member <c>host</c> of the body.</summary>
    Body,

    /// <summary>The parameter <c>host</c> of the query; without it the call is every replica's.</summary>
    Query,

    /// <summary>The parameter <c>domain</c> of the query, where it is a name; else the call is every replica's.</summary>
    DomainQuery,

    /// <summary>The stream in the route value <c>streamId</c>, while it is not over.</summary>
    Stream,

    /// <summary>The source of the migration in the route value <c>migrationId</c>.</summary>
    Migration,
}

/// <summary>A call that only the driver of a host can answer. Any other replica forwards it there.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
public sealed class AtDriverAttribute(HostOf host) : Attribute
{
    public HostOf Host => host;
}
