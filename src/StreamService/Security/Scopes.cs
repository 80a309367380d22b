namespace StreamService.Security;

/// <summary>What a caller may do. Each is also the name of the policy that asks for it.</summary>
public static class Scopes
{
    /// <summary>All that only looks, the hub included.</summary>
    public const string StreamsRead = "streams:read";

    /// <summary>Starting, changing and cancelling streams, single steps included.</summary>
    public const string StreamsWrite = "streams:write";

    /// <summary>Deploying and removing domains.</summary>
    public const string DomainsWrite = "domains:write";

    /// <summary>Migrating domains.</summary>
    public const string MigrationsWrite = "migrations:write";

    /// <summary>Everything; budgets and profiles are changed with it alone.</summary>
    public const string Admin = "admin";

    public static IReadOnlyList<string> All { get; } = [StreamsRead, StreamsWrite, DomainsWrite, MigrationsWrite, Admin];
}
