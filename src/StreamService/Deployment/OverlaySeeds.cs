using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Deployment.Images;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;
using StreamService.Streaming.Profiles;

namespace StreamService.Deployment;

/// <summary>
/// Overlays that hold what guests of an image read first. A new disk begins as a copy of one, so that this data is read from a
/// distant image once for all deployments on a host and not once for each of them.
/// </summary>
/// <remarks>
/// A seed is an overlay like any other, written by QEMU itself and never after that: nothing depends on it once it was copied.
/// It goes with one profile of one state of the image; of another it is not used, and goes when the next is made.
/// </remarks>
public sealed class OverlaySeeds(
    ProfileStore profiles,
    StreamLimits limits,
    IOptions<StreamServiceOptions> options,
    TimeProvider time,
    ILogger<OverlaySeeds> logger)
{
    /// <summary>Beside the overlays, so that a file system that can share blocks between files does.</summary>
    private const string Folder = ".seeds";

    private const string Unfinished = ".part";

    private readonly ConcurrentDictionary<string, bool> _underWay = new();
    private readonly Channel<Func<CancellationToken, Task>> _orders = Channel.CreateUnbounded<Func<CancellationToken, Task>>();

    /// <summary>Seeds to be made. For the one worker that makes them.</summary>
    internal ChannelReader<Func<CancellationToken, Task>> Orders => _orders.Reader;

    /// <summary>The file that a new overlay should be copied from; null where there is none, and then one is made for the next.</summary>
    /// <param name="folder">Of the overlays.</param>
    public async Task<string?> FindAsync(IDomainDefiner host, ImageInfo image, string format, string folder, CancellationToken cancellationToken)
    {
        // A local file is read once by itself: the kernel keeps what was read.
        if (!options.Value.Deployment.Seeds || image.Source is ['/', ..])
            return null;
        // Old data of an image under new data of it would be a disk that never was.
        if (!image.ShowsEveryChange)
            return null;
        if (await profiles.FindAsync(image.Source, cancellationToken) is not { Extents.Count: > 0 } profile || profile.Fingerprint != image.Fingerprint)
            return null;
        var seed = Path.Combine(folder, Folder, $"{Hash(image.Source)}-{Hash($"{profile.Fingerprint} {profile.UpdatedAt.Ticks}")}.{format}");
        if (File.Exists(seed))
            return seed;
        if (_underWay.TryAdd(seed, true))
            _orders.Writer.TryWrite(stopping => MakeAsync(host, image, format, profile, seed, stopping));
        return null;
    }

    private async Task MakeAsync(IDomainDefiner host, ImageInfo image, string format, ImageProfile profile, string seed, CancellationToken stopping)
    {
        var part = seed + Unfinished;
        try
        {
            var folder = Path.GetDirectoryName(seed)!;
            OverlayFile.Prepare(folder);
            File.Delete(part);
            await OverlayFile.CreateAsync(part, format, image.Source, image.Format, image.Size, time, stopping);
            await PopulateAsync(host, image, format, profile, part, stopping);
            File.Move(part, seed, overwrite: true);
            foreach (var old in Directory.GetFiles(folder, $"{Hash(image.Source)}-*.{format}").Where(file => file != seed))
                File.Delete(old);
            DeploymentLog.Seeded(logger, $"{image.Repository}/{image.Name}", profile.Bytes);
        }
        catch (Exception exception) when (exception is HypervisorException or HostUnreachableException or DeploymentRefusedException or NbdException or IOException or UnauthorizedAccessException)
        {
            // Deployments do without.
            DeploymentLog.NotSeeded(logger, $"{image.Repository}/{image.Name}", exception.Message);
            File.Delete(part);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            File.Delete(part);
        }
        finally
        {
            _underWay.TryRemove(seed, out _);
        }
    }

    /// <summary>Brings the hot data in as a stream does: at full width, within the budgets, flushed at the end.</summary>
    private async Task PopulateAsync(IDomainDefiner host, ImageInfo image, string format, ImageProfile profile, string file, CancellationToken stopping)
    {
        var scope = new StreamScope(host.Info.Name, new HashSet<string> { image.Source }, new HashSet<string>());
        var pace = new StreamPace(new SectorThrottle(0, ImageProfile.Block, time));
        using var budgets = pace.Budgets = limits.Budgets.Enter(scope, StreamPriority.Normal, ImageProfile.Block);
        await using var export = await host.OpenImageAsync(file, format, stopping);
        await using var connection = await export.ConnectAsync(stopping);
        var populator = new Populator(connection, export.Warm, pace, time, SourceLimits.InFlight([image.Source]));
        populator.SetWindow(PopulateWindow.Wide(options.Value.Streaming.InFlight));
        var map = await AllocationMap.ReadAsync(export.Warm, 0, export.Size, stopping);
        await populator.PopulateHotAsync(new HotData(profile).Remaining(map, int.MaxValue), stopping);
        await export.Warm.FlushAsync(stopping);
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];
}
