using System.CommandLine;
using StreamService.Client;

namespace StreamService.Ctl;

/// <summary>How answers are printed.</summary>
internal enum OutputForm
{
    Table,
    Json,
}

/// <summary>The options of every command, and what the environment says where they are left out.</summary>
internal static class GlobalOptions
{
    public const string ServerVariable = "STREAMSERVICE_URL", KeyVariable = "STREAMSERVICE_API_KEY", KeyFileVariable = "STREAMSERVICE_API_KEY_FILE";

    /// <summary>The service's own default.</summary>
    private const string DefaultServer = "http://localhost:5000";

    public static Option<string?> Server { get; } = new("--server", "-s")
    {
        Description = $"The service: http://host:5080, https://host/path, or unix:/path/to/socket. Default: ${ServerVariable}, or else {DefaultServer}.",
        HelpName = "url",
        Recursive = true,
    };

    public static Option<OutputForm> Output { get; } = new("--output", "-o")
    {
        Description = "table for people, json for programs: one document, or where something is followed one a line. Default: table.",
        HelpName = "table|json",
        Recursive = true,
    };

    // Not the key itself: everybody on the machine sees other people's command lines.
    public static Option<FileInfo?> KeyFile { get; } = new("--key-file")
    {
        Description = $"A file whose first line is the API key or token. Default: ${KeyFileVariable}; the key itself may be in ${KeyVariable}.",
        HelpName = "file",
        Recursive = true,
    };

    /// <exception cref="FormatException">The address is none.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static StreamServiceClient Connect(ParseResult parsed, TimeSpan? timeout = null)
    {
        var options = StreamServiceClientOptions.Parse(parsed.GetValue(Server) ?? Variable(ServerVariable) ?? DefaultServer, FindKey(parsed));
        return new StreamServiceClient(timeout is { } limit ? options with { Timeout = limit } : options);
    }

    private static string? FindKey(ParseResult parsed)
    {
        if (parsed.GetValue(KeyFile)?.FullName is { } given)
            return ReadKey(given);
        return Variable(KeyVariable) ?? (Variable(KeyFileVariable) is { } file ? ReadKey(file) : null);
    }

    private static string ReadKey(string file) =>
        File.ReadLines(file).FirstOrDefault()?.Trim() is { Length: > 0 } key ? key : throw new IOException($"The first line of {file} is empty: there is no key.");

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
