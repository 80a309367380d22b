using StreamService.Hypervisors;

namespace StreamService.Deployment;

/// <summary>The file of a new disk: an overlay that holds nothing yet.</summary>
internal static class OverlayFile
{
    private const string Program = "qemu-img";
    private const string NotCreated = "OverlayNotCreated";

    /// <summary>QEMU's user must get through to the files in it; nobody needs to list it.</summary>
    private const UnixFileMode FolderMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    /// <summary>The folder's path, which is made where it is missing.</summary>
    /// <exception cref="HypervisorException">It cannot be made.</exception>
    public static void Prepare(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder, FolderMode);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new HypervisorException(NotCreated, $"The folder of overlays cannot be made: {exception.Message}", exception);
        }
    }

    /// <summary>Bytes that an unprivileged user could still write to the folder's file system.</summary>
    public static long FreeBytes(string folder) => new DriveInfo(folder).AvailableFreeSpace;

    /// <summary>Makes the overlay; when this returns it is on stable storage.</summary>
    /// <param name="backing">Path or URI of the image below, which is not opened.</param>
    /// <exception cref="DeploymentRefusedException">There is no room for it.</exception>
    /// <exception cref="HypervisorException">It cannot be made, for another reason.</exception>
    public static async Task CreateAsync(string path, string format, string backing, string backingFormat, long size, TimeProvider time, CancellationToken cancellationToken)
    {
        // -u: the image was looked at already, and looking again costs a slow source's round trips.
        await RunAsync(Program, ["create", "-q", "-u", "-f", format, "-b", backing, "-F", backingFormat, path, $"{size}"], time, cancellationToken);
        await FlushAsync(path, time, cancellationToken);
    }

    /// <summary>Makes the overlay as a copy of another; when this returns it is on stable storage.</summary>
    /// <inheritdoc cref="CreateAsync" path="/exception"/>
    public static async Task CopyAsync(string path, string format, string seed, long size, TimeProvider time, CancellationToken cancellationToken)
    {
        await RunAsync("cp", ["--reflink=auto", "--sparse=always", "--no-preserve=mode", seed, path], time, cancellationToken);
        await RunAsync(Program, ["resize", "-q", "-f", format, path, $"{size}"], time, cancellationToken);
        await FlushAsync(path, time, cancellationToken);
    }

    /// <summary>Where there is none, does nothing.</summary>
    public static void Delete(string path) => File.Delete(path);

    private static Task FlushAsync(string path, TimeProvider time, CancellationToken cancellationToken) =>
        RunAsync("sync", [path, Path.GetDirectoryName(path)!], time, cancellationToken);

    private static async Task RunAsync(string program, IEnumerable<string> arguments, TimeProvider time, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(Deadline, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            var ended = await ChildProcesses.RunAsync(program, arguments, either.Token);
            if (ended.ExitCode == 0)
                return;
            if (ended.Errors.Contains("No space left on device", StringComparison.Ordinal))
                throw new DeploymentRefusedException(DeploymentRefusal.InsufficientStorage, $"The overlay cannot be made: {ended.Errors.Trim()}");
            throw new HypervisorException(NotCreated, ended.Errors.Trim());
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HypervisorException(NotCreated, $"{program} did not end within {Deadline.TotalSeconds:0} s.");
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            throw new HypervisorException(NotCreated, $"{program} cannot be started: {exception.Message}", exception);
        }
    }
}
