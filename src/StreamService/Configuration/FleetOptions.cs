using System.Globalization;

namespace StreamService.Configuration;

/// <summary>This service as one of several replicas on one PostgreSQL database: <c>StreamService:Fleet</c>.</summary>
public sealed class FleetOptions
{
    private const string Section = $"{StreamServiceOptions.Section}:Fleet";

    /// <summary>This replica's name, which no other has, and which stays the same when it is started again. Default: the machine's name and the port of <see cref="Url"/>.</summary>
    public string Name { get; set; } = "";

    /// <summary>Where the other replicas reach this one. Default: the first of <c>ASPNETCORE_URLS</c> that names an address.</summary>
    public string Url { get; set; } = "";

    /// <summary>With the defaults of this machine and of the addresses that the service listens on.</summary>
    internal FleetOptions Complete(IConfiguration configuration)
    {
        var url = (Url.Length > 0 ? Url : ConcreteAddress(configuration) ?? "").TrimEnd('/');
        return new FleetOptions
        {
            Url = url,
            Name = Name.Length > 0 ? Name
                : string.Create(CultureInfo.InvariantCulture, $"{Environment.MachineName}-{(Uri.TryCreate(url, UriKind.Absolute, out var uri) ? uri.Port : 0)}"),
        };
    }

    internal IEnumerable<string> Faults(IConfiguration configuration)
    {
        var complete = Complete(configuration);
        if (complete.Url.Length == 0)
            yield return $"{Section}:Url is missing, and ASPNETCORE_URLS names no address that other replicas could use: set it to where they reach this one, like http://10.0.0.7:5080.";
        else if (!Uri.TryCreate(complete.Url, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https") || url.PathAndQuery != "/")
            yield return $"{Section}:Url '{complete.Url}' is not an address like http://10.0.0.7:5080.";
        if (complete.Name.Length > 64 || complete.Name.Any(character => character is <= ' ' or > '~'))
            yield return $"{Section}:Name '{complete.Name}' is not 1 to 64 printable ASCII characters without spaces.";
    }

    private static string? ConcreteAddress(IConfiguration configuration) => StartupFaults.ListenAddresses(configuration)
        .Select(BindingAddress.Parse)
        .Where(address => !address.IsUnixPipe && address.Port != 0 && address.Host is not ("*" or "+" or "0.0.0.0" or "[::]"))
        .Select(address => string.Create(CultureInfo.InvariantCulture, $"{address.Scheme}://{address.Host}:{address.Port}"))
        .FirstOrDefault();
}
