using StreamService.Hypervisors;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>The base that was to stay as the backing image has left the chain: somebody else changed it.</summary>
public sealed class BaseLostException(string @base, string target)
    : Exception($"'{@base}' is not in the backing chain of disk '{target}' any more.");

/// <summary>The end of every stream, full or single: flush, drop the backing link, flush again.</summary>
internal static class DiskFinalizer
{
    /// <summary>
    /// Drops the link to what was streamed. Safe to repeat, and safe to be killed in at any point: the first flush puts the
    /// populated clusters and their metadata on stable storage before the header can forget the backing image, and what the
    /// hypervisor wrote itself is flushed before anybody calls it done.
    /// </summary>
    /// <param name="flushed">Called when all that was populated is on stable storage.</param>
    public static async Task FinishAsync(IHypervisor hypervisor, DiskAddress disk, string? @base, DiskExport export, Action flushed, TimeProvider time, CancellationToken cancellationToken)
    {
        await FlushAsync(hypervisor, export, time, cancellationToken);
        flushed();
        if (!HasArrived(await FindAsync(hypervisor, disk, cancellationToken), @base))
        {
            using var span = Spans.Begin("stream.drop-link");
            var native = await hypervisor.BeginNativeJobAsync(disk.Domain, disk.Target, @base, bandwidth: 0, cancellationToken);
            await NativeStreaming.RunToEndAsync(native, export.Warm.FlushAsync, _ => null, time, cancellationToken);
        }
        await FlushAsync(hypervisor, export, time, cancellationToken);
        await CheckArrivedAsync(hypervisor, disk, @base, cancellationToken);
    }

    private static async Task FlushAsync(IHypervisor hypervisor, DiskExport export, TimeProvider time, CancellationToken cancellationToken)
    {
        using var span = Spans.Begin("stream.flush");
        var begun = time.GetTimestamp();
        await export.Warm.FlushAsync(cancellationToken);
        new StreamMeters(hypervisor.Info.Name).Flushed(time.GetElapsedTime(begun));
    }

    /// <summary>Whether the disk stands directly on the image that stays, or on none where none does.</summary>
    public static async Task<bool> HasArrivedAsync(IHypervisor hypervisor, DiskAddress disk, string? @base, CancellationToken cancellationToken) =>
        HasArrived(await FindAsync(hypervisor, disk, cancellationToken), @base);

    /// <summary>A job that ended without an error is believed only when the link is gone.</summary>
    /// <exception cref="HypervisorException">It is not.</exception>
    public static async Task CheckArrivedAsync(IHypervisor hypervisor, DiskAddress disk, string? @base, CancellationToken cancellationToken)
    {
        var after = await FindAsync(hypervisor, disk, cancellationToken);
        if (!HasArrived(after, @base))
            throw new HypervisorException("BackingLinkKept",
                $"The hypervisor's own stream job ended, but disk '{disk.Target}' still has the backing image '{after.BackingChain[0].Source}'.");
    }

    /// <summary>The depth from which on images stay; see <see cref="DiskInfo.DepthOf"/>.</summary>
    /// <exception cref="BaseLostException">The chain has no such image.</exception>
    public static async Task<int> BaseDepthAsync(IHypervisor hypervisor, DiskAddress disk, string? @base, CancellationToken cancellationToken) =>
        (await FindAsync(hypervisor, disk, cancellationToken)).DepthOf(@base) ?? throw new BaseLostException(@base!, disk.Target);

    /// <summary>The images below the active layer, nearest first.</summary>
    public static async Task<IReadOnlyList<ChainImage>> ChainAsync(IHypervisor hypervisor, DiskAddress disk, CancellationToken cancellationToken) =>
        (await FindAsync(hypervisor, disk, cancellationToken)).BackingChain;

    private static bool HasArrived(DiskInfo disk, string? @base) =>
        disk.BackingChain.Count == 0 ? @base is null : disk.BackingChain[0].Source == @base;

    private static async Task<DiskInfo> FindAsync(IHypervisor hypervisor, DiskAddress disk, CancellationToken cancellationToken)
    {
        var domain = await hypervisor.FindDomainAsync(disk.Domain.ToString(), cancellationToken)
            ?? throw new DomainNotFoundException(disk.Domain.ToString());
        var found = domain.FindDisk(disk.Target) ?? throw new DiskNotFoundException(domain.Name, disk.Target);
        return domain.CanOpen(found) ? found : throw new DomainNotRunningException(domain.Name, found.OfflineObstacle);
    }
}
