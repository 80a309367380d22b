using System.Collections.Concurrent;
using System.Diagnostics;

namespace StreamService.Hypervisors;

/// <summary>
/// Starts processes that must not outlive the service, even one that is killed: the kernel sends them SIGTERM
/// (PR_SET_PDEATHSIG, set by setpriv before it becomes the program).
/// </summary>
/// <remarks>
/// The kernel sends it when the <i>thread</i> that forked ends. A thread of the pool may end at any time, so all of them are
/// started from one thread that lives as long as the process.
/// </remarks>
internal static class ChildProcesses
{
    private const string Launcher = "setpriv";

    private static readonly BlockingCollection<Action> Starts = [];

    static ChildProcesses() => new Thread(Serve) { IsBackground = true, Name = "child processes" }.Start();

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
        var started = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
        Starts.Add(() =>
        {
            try
            {
                var process = Process.Start(start)!;
                process.StandardInput.Close();
                started.SetResult(process);
            }
            catch (Exception exception)
            {
                started.SetException(exception);
            }
        });
        return started.Task;
    }

    private static void Serve()
    {
        foreach (var start in Starts.GetConsumingEnumerable())
            start();
    }
}
