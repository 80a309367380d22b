using System.Diagnostics;

namespace StreamService.Hypervisors;

/// <summary>
/// Starts processes that must not outlive the service, even one that is killed: the kernel sends them SIGTERM
/// (PR_SET_PDEATHSIG, set by setpriv before it becomes the program), from a <see cref="LastingThread"/>.
/// </summary>
internal static class ChildProcesses
{
    private const string Launcher = "setpriv";

    /// <summary>Whether the program, and what starts it, are on the search path.</summary>
    public static bool CanStart(string program) => IsInstalled(Launcher) && IsInstalled(program);

    /// <summary>Whether a program is on the search path.</summary>
    public static bool IsInstalled(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Any(folder => File.Exists(Path.Combine(folder, program)));

    /// <summary>Starts a program; its input is closed, its output is the caller's to read.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">It cannot be started.</exception>
    public static Task<Process> StartAsync(string program, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(Launcher, ["--pdeathsig", "TERM", program, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        return LastingThread.RunAsync(() =>
        {
            var process = Process.Start(start)!;
            process.StandardInput.Close();
            return process;
        });
    }

    /// <summary>How a program ended, and what it wrote.</summary>
    public readonly record struct Ended(int ExitCode, string Output, string Errors);

    /// <summary>Runs a short program to its end; it is killed where the deadline comes first.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">It cannot be started.</exception>
    /// <exception cref="OperationCanceledException">The deadline came first.</exception>
    public static async Task<Ended> RunAsync(string program, IEnumerable<string> arguments, CancellationToken deadline)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        try
        {
            process.StandardInput.Close();
            var errors = process.StandardError.ReadToEndAsync(deadline);
            var output = await process.StandardOutput.ReadToEndAsync(deadline);
            var words = await errors;
            await process.WaitForExitAsync(deadline);
            return new Ended(process.ExitCode, output, words);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }
}
