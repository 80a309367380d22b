using System.Globalization;
using StreamService.Configuration;
using StreamService.Hypervisors;

namespace StreamService.Migrations;

/// <summary>Makes empty overlays for hosts on which no program can be run: here, to be sent there.</summary>
public static class OverlayHeader
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    /// <summary>An empty overlay: its header and tables, a few hundred KiB.</summary>
    /// <param name="format">qcow2 or qed.</param>
    /// <param name="backing">Its backing image, a raw one. It is not opened.</param>
    /// <param name="runtimeDirectory">As configured.</param>
    /// <exception cref="HypervisorException">qemu-img refuses, or is missing.</exception>
    public static async Task<byte[]> MakeAsync(string format, string backing, long size, string runtimeDirectory, CancellationToken cancellationToken)
    {
        var file = Path.Combine(RuntimeDirectory.Prepare(runtimeDirectory), $"overlay-{Guid.NewGuid():N}");
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(Deadline);
        try
        {
            var made = await ChildProcesses.RunAsync("qemu-img",
                ["create", "-q", "-u", "-f", format, "-b", backing, "-F", "raw", file, size.ToString(CultureInfo.InvariantCulture)], deadline.Token);
            return made.ExitCode == 0
                ? await File.ReadAllBytesAsync(file, cancellationToken)
                : throw new HypervisorException("OverlayNotMade", $"qemu-img makes no overlay: {made.Errors.Trim()}");
        }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new HypervisorException("ProgramMissing", $"qemu-img cannot be started: {missing.Message}", missing);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
