using System.Net;

namespace StreamService.Configuration;

/// <summary>Where the service may listen. Without authentication: on the loopback only.</summary>
public static class ListenAddresses
{
    /// <summary>Throws where an address outside the loopback is configured.</summary>
    /// <exception cref="InvalidOperationException">Names every such address, and what to set instead.</exception>
    public static void RefuseOpenOnes(IConfiguration configuration)
    {
        var open = Configured(configuration).Where(address => !IsLoopback(address)).ToList();
        if (open.Count > 0)
            throw new InvalidOperationException(
                $"Refusing to listen on {string.Join(", ", open)} without authentication: whoever reaches the service can change disks. "
                + "Listen on the loopback (ASPNETCORE_URLS=http://127.0.0.1:5080), behind a proxy that authenticates.");
    }

    private static IEnumerable<string> Configured(IConfiguration configuration)
    {
        foreach (var url in (configuration["urls"] ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            yield return url;
        // Kestrel takes ports without an address as every address; "urls" goes before them.
        if (string.IsNullOrEmpty(configuration["urls"]))
            foreach (var (key, scheme) in new[] { ("http_ports", "http"), ("https_ports", "https") })
                foreach (var port in (configuration[key] ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
                    yield return $"{scheme}://*:{port}";
        foreach (var endpoint in configuration.GetSection("Kestrel:Endpoints").GetChildren())
            if (endpoint["Url"] is { } url)
                yield return url;
    }

    private static bool IsLoopback(string url)
    {
        var address = BindingAddress.Parse(url);
        return address.IsUnixPipe
            || address.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(address.Host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
    }
}
