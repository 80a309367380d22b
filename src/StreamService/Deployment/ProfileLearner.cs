using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Streaming.Profiles;

namespace StreamService.Deployment;

/// <summary>
/// Learns what guests of an image read first: looks at the allocation maps of new overlays while nothing but copy-on-read
/// populates them.
/// </summary>
public sealed class ProfileLearner(ProfileStore profiles, StreamManager streams, IOptions<StreamServiceOptions> options, TimeProvider time, ILogger<ProfileLearner> logger)
{
    /// <summary>Between two looks: how finely first reads are told apart.</summary>
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(250);

    private readonly ConcurrentDictionary<string, int> _watched = new();
    private readonly Channel<Func<CancellationToken, Task>> _lessons = Channel.CreateUnbounded<Func<CancellationToken, Task>>();

    /// <summary>What is to be watched, each until it ends. For the one worker that runs them.</summary>
    internal ChannelReader<Func<CancellationToken, Task>> Lessons => _lessons.Reader;

    /// <summary>Has a domain that was just started watched, until enough deployments of its image were.</summary>
    /// <param name="learned">Called when the profile has become richer.</param>
    /// <returns>When the watching ends, and the stream may begin; null where nothing is watched.</returns>
    public async Task<DateTimeOffset?> BeginAsync(IHypervisor hypervisor, DeploymentRecord deployment, Func<CancellationToken, Task> learned, CancellationToken cancellationToken)
    {
        var learning = options.Value.Deployment;
        if (!learning.Learn)
            return null;
        var known = await profiles.FindAsync(deployment.ImageSource, cancellationToken);
        var seen = known?.Fingerprint == deployment.ImageFingerprint ? known.Deployments : 0;
        if (!TryWatch(deployment.ImageSource, learning.LearnDeployments - seen))
            return null;
        var until = time.GetUtcNow() + learning.LearnFor;
        _lessons.Writer.TryWrite(async stopping =>
        {
            try
            {
                if (await LearnAsync(hypervisor, deployment, until, stopping))
                    await learned(stopping);
            }
            finally
            {
                _watched.AddOrUpdate(deployment.ImageSource, 0, (_, count) => count - 1);
            }
        });
        return until;
    }

    /// <summary>Those that are being watched now count as if they were learned from: the streams of a crowd must not all be held back.</summary>
    private bool TryWatch(string source, int wanted)
    {
        if (_watched.AddOrUpdate(source, 1, (_, count) => count + 1) <= wanted)
            return true;
        _watched.AddOrUpdate(source, 0, (_, count) => count - 1);
        return false;
    }

    /// <returns>Whether anything was learned.</returns>
    private async Task<bool> LearnAsync(IHypervisor hypervisor, DeploymentRecord deployment, DateTimeOffset until, CancellationToken stopping)
    {
        try
        {
            var reads = new GuestReads();
            var begun = time.GetTimestamp();
            await using (var export = await hypervisor.ExportDiskAsync(deployment.Domain, deployment.Target, evenOff: false, stopping))
            {
                using var timer = new PeriodicTimer(Look, time);
                do
                {
                    var at = time.GetElapsedTime(begun);
                    var map = await AllocationMap.ReadAsync(export.Warm, 0, export.Size, stopping);
                    // What a stream brought in says nothing of the guest.
                    if (await HasBegunAsync(deployment, stopping))
                        return false;
                    reads.Look(map, (int)at.TotalMilliseconds);
                }
                while (time.GetUtcNow() + Look < until && await timer.WaitForNextTickAsync(stopping));
            }
            await profiles.LearnAsync(deployment.ImageSource, deployment.ImageFingerprint, reads, stopping);
            DeploymentLog.Learned(logger, deployment.Image, deployment.Name, reads.Blocks.Count * (long)ImageProfile.Block);
            return true;
        }
        catch (Exception exception) when (exception is NbdException or HostUnreachableException or HypervisorException
            or DomainNotFoundException or DomainNotRunningException or DiskNotFoundException)
        {
            // A guest that was gone before its time is no example.
            DeploymentLog.NotLearned(logger, deployment.Image, deployment.Name, exception.Message);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
        return false;
    }

    private async Task<bool> HasBegunAsync(DeploymentRecord deployment, CancellationToken cancellationToken) =>
        await streams.FindLatestAsync(new DiskAddress(deployment.Host, deployment.Domain, deployment.Target), cancellationToken) is { StartedAt: not null };
}
