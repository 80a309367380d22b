using System.Diagnostics;
using System.Text.Json;

namespace StreamService.IntegrationTests.Harness;

/// <summary>streamctl as a process of its own, as a person or a script runs it.</summary>
internal sealed class Streamctl : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    private readonly Process _process;
    private readonly Task<string> _output, _errors;

    private Streamctl(ServiceProcess? service, IReadOnlyDictionary<string, string> environment, string[] arguments)
    {
        var start = new ProcessStartInfo(Program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        // What the developer's own shell says of a service is none of a test's business.
        foreach (var name in new[] { "STREAMSERVICE_URL", "STREAMSERVICE_API_KEY", "STREAMSERVICE_API_KEY_FILE", "NO_COLOR" })
            start.Environment.Remove(name);
        if (service is not null)
            start.Environment["STREAMSERVICE_URL"] = service.Server;
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        _process = Process.Start(start)!;
        _process.StandardInput.Close();
        _output = _process.StandardOutput.ReadToEndAsync();
        _errors = _process.StandardError.ReadToEndAsync();
    }

    /// <summary>The command.</summary>
    public static string Program { get; } = Path.Combine(AppContext.BaseDirectory, "streamctl");

    /// <summary>How it ended.</summary>
    public sealed record Ended(int Code, string Output, string Errors)
    {
        /// <summary>The output as one document.</summary>
        public JsonElement Json => JsonDocument.Parse(Output).RootElement;

        /// <summary>The output as documents, one a line.</summary>
        public IReadOnlyList<JsonElement> JsonLines => [.. Lines.Select(line => JsonDocument.Parse(line).RootElement)];

        public IReadOnlyList<string> Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>Begins a command that takes its time.</summary>
    public static Streamctl Start(ServiceProcess? service, params string[] arguments) => new(service, new Dictionary<string, string>(), arguments);

    public static async Task<Ended> RunAsync(ServiceProcess? service, params string[] arguments)
    {
        using var run = Start(service, arguments);
        return await run.WaitAsync();
    }

    public static async Task<Ended> RunAsync(ServiceProcess? service, IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        using var run = new Streamctl(service, environment, arguments);
        return await run.WaitAsync();
    }

    /// <summary>Runs a command that must succeed.</summary>
    public static async Task<Ended> SucceedAsync(ServiceProcess service, params string[] arguments)
    {
        var ended = await RunAsync(service, arguments);
        Assert.True(ended is { Code: 0, Errors: "" }, $"streamctl {string.Join(' ', arguments)} ended with {ended.Code}: {ended.Errors}{ended.Output}");
        return ended;
    }

    public async Task<Ended> WaitAsync()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await _process.WaitForExitAsync(deadline.Token);
        return new Ended(_process.ExitCode, await _output, await _errors);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
    }
}
