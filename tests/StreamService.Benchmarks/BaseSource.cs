using StreamService.IntegrationTests.Harness;

namespace StreamService.Benchmarks;

/// <summary>The base image as the overlay's backing: its file, or nbdkit before it.</summary>
internal sealed class BaseSource : IAsyncDisposable
{
    private readonly NbdkitServer? _server;

    private BaseSource(string backing, NbdkitServer? server, string? log)
    {
        Backing = backing;
        _server = server;
        Log = log;
    }

    /// <summary>A file name or an NBD URI.</summary>
    public string Backing { get; }

    /// <summary>Where nbdkit writes when each request came; null where nobody asked for it.</summary>
    public string? Log { get; }

    /// <param name="source">"file", or milliseconds of delay of each read.</param>
    public static async Task<BaseSource> StartAsync(Workbench bench, string source, bool log = false)
    {
        if (source == "file")
            return new BaseSource(bench.Base, null, null);
        var server = new NbdkitServer(bench.Folder, bench.Base);
        var logFile = log ? Path.Combine(bench.Folder, "requests.log") : null;
        // The log comes before the delay: it tells when a request arrives.
        await server.StartAsync([
            .. logFile is null ? Array.Empty<string>() : ["--filter=log", $"logfile={logFile}"],
            .. source == "0" ? Array.Empty<string>() : ["--filter=delay", $"rdelay={source}ms"],
        ]);
        return new BaseSource(server.Uri, server, logFile);
    }

    /// <summary>For a table.</summary>
    public static string Name(string source) => source == "file" ? "local file" : $"NBD, {source} ms";

    public ValueTask DisposeAsync() => _server?.DisposeAsync() ?? ValueTask.CompletedTask;
}
