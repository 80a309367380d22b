using System.Net;

namespace StreamService.Configuration;

/// <summary>What is wrong with the configuration, found before anything starts, all of it at once.</summary>
public static class StartupFaults
{
    /// <summary>The exit code of a service that is not configured rightly (EX_CONFIG of sysexits.h).</summary>
    public const int ExitCode = 78;

    /// <summary>The exit code of a service whose database did not come (EX_TEMPFAIL of sysexits.h): it may be started again as it is.</summary>
    public const int TryAgainExitCode = 75;

    /// <summary>Every fault in a sentence; none where the service may start.</summary>
    public static IReadOnlyList<string> Find(IConfiguration configuration) => [.. OptionFaults(configuration), .. HasAuthentication(configuration) ? [] : OpenAddresses(configuration)];

    private static IEnumerable<string> OptionFaults(IConfiguration configuration)
    {
        var options = new StreamServiceOptions();
        try
        {
            configuration.GetSection(StreamServiceOptions.Section).Bind(options);
        }
        catch (InvalidOperationException exception)
        {
            // A word where a number should be.
            return [exception.Message];
        }
        return [.. new StreamServiceOptionsValidator().Validate(null, options).Failures ?? [], .. options.Storage.IsPostgreSql ? options.Fleet.Faults(configuration) : []];
    }

    /// <summary>Addresses outside the loopback: whoever reaches the service there can change disks without authentication.</summary>
    private static IEnumerable<string> OpenAddresses(IConfiguration configuration) => ListenAddresses(configuration)
        .Where(address => !IsLoopback(address))
        .Select(address => $"Refusing to listen on {address} without authentication: whoever reaches the service can change disks. "
            + "Set StreamService:Auth:ApiKeys:0:Name, :Hash and :Scopes:0 (deploy/new-api-key prints them) or StreamService:Auth:Jwt:Authority and :Audience; "
            + "or listen on the loopback only (ASPNETCORE_URLS=http://127.0.0.1:5080).");

    private static bool HasAuthentication(IConfiguration configuration)
    {
        var auth = configuration.GetSection($"{StreamServiceOptions.Section}:{nameof(StreamServiceOptions.Auth)}");
        return auth.GetSection(nameof(AuthOptions.ApiKeys)).GetChildren().Any() || !string.IsNullOrEmpty(auth[$"{nameof(AuthOptions.Jwt)}:{nameof(JwtOptions.Authority)}"]);
    }

    internal static IEnumerable<string> ListenAddresses(IConfiguration configuration)
    {
        foreach (var url in Split(configuration["urls"]))
            yield return url;
        // Kestrel takes ports without an address as every address; "urls" goes before them.
        if (string.IsNullOrEmpty(configuration["urls"]))
            foreach (var (key, scheme) in new[] { ("http_ports", "http"), ("https_ports", "https") })
                foreach (var port in Split(configuration[key]))
                    yield return $"{scheme}://*:{port}";
        foreach (var endpoint in configuration.GetSection("Kestrel:Endpoints").GetChildren())
            if (endpoint["Url"] is { } url)
                yield return url;
    }

    private static string[] Split(string? list) => (list ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static bool IsLoopback(string url)
    {
        var address = BindingAddress.Parse(url);
        return address.IsUnixPipe
            || address.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(address.Host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
    }
}
