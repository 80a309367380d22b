using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace StreamService.IntegrationTests.Nbd;

/// <summary>
/// A qemu-storage-daemon that exports an overlay over NBD, as a running QEMU does: read-only, with allocation depth.
/// Its images and its socket are in a folder of its own.
/// </summary>
internal sealed class StorageDaemon : IAsyncDisposable
{
    private const string Program = "qemu-storage-daemon";
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly DirectoryInfo _folder;
    private readonly Process _process;

    private StorageDaemon(DirectoryInfo folder, string format)
    {
        _folder = folder;
        _process = Process.Start(new ProcessStartInfo(Program,
        [
            "--blockdev", $"driver={format},node-name=disk,file.driver=file,file.filename={Overlay}",
            "--nbd-server", $"addr.type=unix,addr.path={Path.Combine(folder.FullName, "nbd")}",
            "--export", "type=nbd,id=e,node-name=disk,name=disk,writable=off,allocation-depth=on",
            "--pidfile", PidFile, // written once the export is up
        ]))!;
    }

    public string Overlay => Path.Combine(_folder.FullName, "overlay");

    public EndPoint EndPoint => new UnixDomainSocketEndPoint(Path.Combine(_folder.FullName, "nbd"));

    private string PidFile => Path.Combine(_folder.FullName, "pid");

    /// <summary>Starts with an overlay of <paramref name="format"/>, empty, over a raw image of these bytes.</summary>
    public static async Task<StorageDaemon> StartAsync(string format, byte[] backing, CancellationToken cancellationToken)
    {
        Require(Program);
        Require("qemu-img");
        DirectoryInfo folder = Directory.CreateTempSubdirectory("nbd-");
        string backingFile = Path.Combine(folder.FullName, "base");
        await File.WriteAllBytesAsync(backingFile, backing, cancellationToken);
        string overlay = Path.Combine(folder.FullName, "overlay");
        await RunAsync("qemu-img", ["create", "-q", "-f", format, "-b", backingFile, "-F", "raw", overlay], cancellationToken);

        using var watcher = new FileSystemWatcher(folder.FullName, "pid");
        var written = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        watcher.Created += (_, _) => written.TrySetResult();
        watcher.EnableRaisingEvents = true;
        var daemon = new StorageDaemon(folder, format);
        try
        {
            Task ended = daemon._process.WaitForExitAsync(cancellationToken);
            Assert.Same(written.Task, await Task.WhenAny(written.Task, ended).WaitAsync(Deadline, cancellationToken));
            return daemon;
        }
        catch
        {
            await daemon.DisposeAsync();
            throw;
        }
    }

    /// <summary>What qemu-img sees of the file itself, from outside.</summary>
    public Task<string> MapFileAsync(CancellationToken cancellationToken) =>
        RunAsync("qemu-img", ["map", "-U", "--output=json", Overlay], cancellationToken);

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync().WaitAsync(Deadline);
        _process.Dispose();
        _folder.Delete(recursive: true);
    }

    private static async Task<string> RunAsync(string program, string[] arguments, CancellationToken cancellationToken)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = await process.StandardOutput.ReadToEndAsync(cancellationToken).WaitAsync(Deadline, cancellationToken);
        await process.WaitForExitAsync(cancellationToken).WaitAsync(Deadline, cancellationToken);
        Assert.Equal(0, process.ExitCode);
        return output;
    }

    /// <summary>Without the program the test is skipped; where CI is true it fails.</summary>
    private static void Require(string program)
    {
        bool found = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, program)));
        if (found)
        {
            return;
        }

        Assert.False(Environment.GetEnvironmentVariable("CI") == "true", $"{program} is not installed");
        Assert.Skip($"{program} is not installed");
    }
}
