using System.Globalization;
using System.Text.RegularExpressions;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// A real guest (<c>deploy/demo-guest</c>) on the first of two hosts, in <c>/srv</c>. Until its end it appends numbered records to its disk, each on
/// stable storage before its number is told on the console, and reads data of known sums back.
/// </summary>
internal sealed partial class RecordingGuest : IAsyncDisposable
{
    private static readonly string Script = Path.Combine(Repository.Root, "deploy", "demo-guest");
    /// <summary>The folder that the guest is made in.</summary>
    internal static readonly Lazy<Task<string>> Image = new(BuildAsync);
    private static int _count;

    private readonly TwoHosts _hosts;

    private RecordingGuest(TwoHosts hosts, string name)
    {
        _hosts = hosts;
        Name = name;
    }

    public string Name { get; }
    public Guid Id { get; private set; }

    /// <summary>Its disk, a qcow2 image without a backing image, as its first host sees it.</summary>
    public string Disk => $"/srv/{Name}.qcow2";

    /// <summary>Starts it on h1, and waits until its first record is told, which takes an emulated guest some 15 s.</summary>
    public static async Task<RecordingGuest> StartAsync(TwoHosts hosts)
    {
        Requires.Program("mkfs.ext4");
        var image = await Image.Value;
        var guest = new RecordingGuest(hosts, $"sst-{Environment.ProcessId}-r{Interlocked.Increment(ref _count)}");
        try
        {
            await hosts.ExecAsync(1, "qemu-img", "convert", "-O", "qcow2", Path.Combine(image, "base.raw"), guest.Disk);
            await hosts.DefineAsync(1, guest.Name, await hosts.ExecAsync(1, Script, "domain-xml", image, guest.Name, guest.Disk, guest.Console, "--memory", "128"));
            guest.Id = Guid.Parse((await hosts.VirshAsync(1, "domuuid", guest.Name)).Trim());
            await hosts.VirshAsync(1, "start", guest.Name);
            await guest.WaitForRecordAsync(1, 1, TimeSpan.FromMinutes(2));
            return guest;
        }
        catch
        {
            await guest.DisposeAsync();
            throw;
        }
    }

    /// <summary>The record numbers that were told on each host's console. What began on h1 and ended on h2 is h2's.</summary>
    /// <remarks>Fails where the guest read other data than its disk must hold, or could not write.</remarks>
    public async Task<(IReadOnlyList<int> H1, IReadOnlyList<int> H2)> RecordsAsync()
    {
        var first = await ConsoleAsync(1);
        var second = await ConsoleAsync(2);
        var lastLine = first.LastIndexOf('\n') + 1;
        return (Records(first[..lastLine]), Records(first[lastLine..] + second));
    }

    /// <summary>Waits until the guest has told a record of that number or above on the host's console.</summary>
    public Task WaitForRecordAsync(int host, int number, TimeSpan? within = null) => Shell.WaitForAsync(
        $"record {number} of {Name} on h{host}",
        async () =>
        {
            var (first, second) = await RecordsAsync();
            return (host == 1 ? first : second).Any(record => record >= number);
        },
        within ?? TimeSpan.FromMinutes(1));

    /// <summary>Expects that the guest goes on with its records on a host, and only there.</summary>
    public async Task AssertGoesOnAsync(int host)
    {
        var (first, second) = await RecordsAsync();
        await WaitForRecordAsync(host, first.Concat(second).Max() + 3);
        Assert.Equal("running", await _hosts.StateAsync(host, Name));
        var other = await _hosts.StateAsync(3 - host, Name);
        Assert.True(other is null or "shut off", $"{Name} is {other} on h{3 - host} too.");
    }

    /// <summary>
    /// Expects that no record was lost or repeated: the consoles of both hosts tell 1, 2, 3, …, and the disk, which is read from its
    /// file after the domain was stopped, holds every one.
    /// </summary>
    public async Task AssertRecordsAsync(int host)
    {
        Requires.Program("debugfs");
        await _hosts.VirshAsync(host, "destroy", Name);
        var (first, second) = await RecordsAsync();
        var told = first.Concat(second).ToList();
        Assert.Equal(Enumerable.Range(1, told.Count), told);
        var raw = Path.Combine(_hosts.Srv(host), $"{Name}.raw");
        await Shell.RunAsync("qemu-img", "convert", "-O", "raw", Path.Combine(_hosts.Srv(host), Path.GetFileName(Disk)), raw);
        // The journal is played back, as the next boot would.
        await Shell.RunAsync("sh", "-c", $"e2fsck -fy '{raw}' >/dev/null 2>&1; test $? -le 1");
        var written = (await Shell.RunAsync("debugfs", "-R", "cat /records", raw)).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => int.Parse(line, CultureInfo.InvariantCulture)).ToList();
        Assert.Equal(Enumerable.Range(1, written.Count), written);
        // The last one may have been written and not told any more.
        Assert.InRange(written.Count, told.Count, told.Count + 1);
        File.Delete(raw);
    }

    public async ValueTask DisposeAsync() => await _hosts.RemoveAsync(Name);

    private string Console => $"/srv/{Name}.log";

    private async Task<string> ConsoleAsync(int host)
    {
        var file = Path.Combine(_hosts.Srv(host), Path.GetFileName(Console));
        return File.Exists(file) ? await File.ReadAllTextAsync(file) : "";
    }

    private static List<int> Records(string console)
    {
        Assert.False(console.Contains("DAMAGED", StringComparison.Ordinal) || console.Contains("NOT WRITTEN", StringComparison.Ordinal), console);
        return [.. RecordLine().Matches(console).Select(line => int.Parse(line.Groups[1].Value, CultureInfo.InvariantCulture))];
    }

    /// <summary>Made once for all runs of the tests.</summary>
    private static async Task<string> BuildAsync()
    {
        var folder = Path.Combine(Path.GetTempPath(), "streamservice-demo-guest");
        await Shell.RunAsync(Script, "build", folder, "--size", "64", "--data", "16");
        return folder;
    }

    [GeneratedRegex(@"^demo-guest: record (\d+), \S+ intact\r?$", RegexOptions.Multiline)]
    private static partial Regex RecordLine();
}
