using System.Globalization;

namespace StreamService.Benchmarks;

/// <summary>What the kernel says of a process (proc(5)).</summary>
internal sealed class ProcessFigures(int processId)
{
    /// <summary>USER_HZ, in which /proc counts: 100 on every architecture that .NET runs on.</summary>
    private const double TicksPerSecond = 100;

    /// <summary>User and system time of all its threads, to 10 ms.</summary>
    public TimeSpan CpuTime
    {
        get
        {
            var stat = File.ReadAllText($"/proc/{processId}/stat");
            // The second field, the name, may hold anything: the others are counted from behind its bracket.
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            var ticks = long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
            return TimeSpan.FromSeconds(ticks / TicksPerSecond);
        }
    }

    /// <summary>The most resident memory since its start, in bytes.</summary>
    public long PeakMemory => Status("VmHWM:");

    /// <summary>Resident memory now, in bytes.</summary>
    public long Memory => Status("VmRSS:");

    public int Threads => Directory.EnumerateDirectories($"/proc/{processId}/task").Count();

    /// <summary>What it holds open: files, sockets, pipes.</summary>
    public IReadOnlyList<string> Handles
    {
        get
        {
            var handles = new List<string>();
            foreach (var handle in Directory.EnumerateFileSystemEntries($"/proc/{processId}/fd"))
                try
                {
                    handles.Add(new FileInfo(handle).LinkTarget ?? "");
                }
                catch (IOException)
                {
                    // Closed meanwhile.
                }
            return handles;
        }
    }

    private long Status(string name)
    {
        var line = File.ReadLines($"/proc/{processId}/status").First(text => text.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }
}
