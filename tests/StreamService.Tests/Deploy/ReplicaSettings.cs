using Microsoft.Extensions.Configuration;
using StreamService.Configuration;

namespace StreamService.Tests.Deploy;

/// <summary>The environment that a file of <c>deploy/</c> gives a replica, as the service reads it.</summary>
internal static class ReplicaSettings
{
    /// <summary>Every fault that the service would report at its start, and every setting that it does not have.</summary>
    public static IReadOnlyList<string> Faults(IReadOnlyDictionary<string, string> environment)
    {
        var configuration = Configuration(environment);
        var faults = StartupFaults.Find(configuration).ToList();
        try
        {
            configuration.GetSection(StreamServiceOptions.Section).Bind(new StreamServiceOptions(), binder => binder.ErrorOnUnknownConfiguration = true);
        }
        catch (InvalidOperationException exception)
        {
            faults.Add(exception.Message);
        }
        return faults;
    }

    public static StreamServiceOptions Options(IReadOnlyDictionary<string, string> environment) =>
        Configuration(environment).GetSection(StreamServiceOptions.Section).Get<StreamServiceOptions>()!;

    /// <summary>Lines of NAME=value, as systemd, Docker and kustomize read them.</summary>
    public static Dictionary<string, string> ReadFile(string path) => File.ReadLines(Path.Combine(ComposeFile.Root, path))
        .Where(line => line.Length > 0 && !line.StartsWith('#'))
        .ToDictionary(line => line[..line.IndexOf('=', StringComparison.Ordinal)], line => line[(line.IndexOf('=', StringComparison.Ordinal) + 1)..]);

    /// <summary>The port of an address like <c>http://*:5080</c>.</summary>
    public static int PortOf(string url) => int.Parse(url[(url.LastIndexOf(':') + 1)..], System.Globalization.CultureInfo.InvariantCulture);

    private static IConfiguration Configuration(IReadOnlyDictionary<string, string> environment) => new ConfigurationBuilder()
        .AddInMemoryCollection(environment.ToDictionary(
            variable => variable.Key.Replace("ASPNETCORE_", "", StringComparison.Ordinal).Replace("__", ":", StringComparison.Ordinal), variable => (string?)variable.Value))
        .Build();
}
