using System.Collections.Concurrent;
using StreamService.Qemu.Libvirt;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

// libvirt's own stream job, and the flush of a disk that cannot be exported.
public sealed partial class LibvirtHypervisor
{
    private static readonly TimeSpan AbortPoll = TimeSpan.FromMilliseconds(50);

    /// <summary>How long libvirt's event of a job's end may take to come after the end itself could be seen.</summary>
    private static readonly TimeSpan LateEvent = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<LibvirtNativeJob, bool> _nativeJobs = new();

    /// <inheritdoc/>
    /// <remarks>
    /// One pull at a time in each QEMU: when a pull has ended, libvirt sends query-named-block-nodes, which kills a QEMU
    /// (7.2) in which another stream job is concluded and not yet dismissed. Seen here with two disks of one domain.
    /// </remarks>
    public async Task<INativeJob> BeginNativeJobAsync(Guid domain, string target, string? baseImage, long bandwidth, CancellationToken cancellationToken)
    {
        if (_offline.Find(domain, target) is { } daemon)
            return await daemon.BeginNativeJobAsync(target, baseImage, bandwidth, cancellationToken);
        var gate = _pulls.GetOrAdd(domain, _ => new SemaphoreSlim(1, 1));
        await gate.WaitAsync(cancellationToken);
        var job = new LibvirtNativeJob(this, domain, target, gate);
        _nativeJobs[job] = true;
        try
        {
            if (await FindBlockJobAsync(domain, target, cancellationToken) is null)
                await PullAsync(domain, target, baseImage, bandwidth, cancellationToken);
            else
                await job.SetBandwidthAsync(bandwidth, cancellationToken);
            return job;
        }
        catch
        {
            job.End();
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task FlushWithoutExportAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        if (_offline.Find(domain, target) is { } daemon)
        {
            await daemon.FlushWithoutExportAsync(target, cancellationToken);
            return;
        }
        var (cache, disk) = await FindDiskAsync(domain, target, cancellationToken);
        var device = (await TranslateAsync(() => new Monitor(this, domain).QueryBlockAsync(cancellationToken), domain))
            .FirstOrDefault(device => disk.Alias is { } alias && device.HasAlias(alias))
            ?? throw new DomainNotRunningException(cache.Domain.Name);
        await TranslateAsync(() => new Monitor(this, domain).FlushDeviceAsync(device, cancellationToken), domain);
    }

    private async Task PullAsync(Guid domain, string target, string? baseImage, long bandwidth, CancellationToken cancellationToken)
    {
        var (cache, disk) = await FindDiskAsync(domain, target, cancellationToken);
        var others = await TranslateAsync(() => new Monitor(this, domain).QueryBlockJobsAsync(cancellationToken), domain);
        if (others.Count > 0)
            throw new HypervisorException("BlockJobActive", $"Block job '{others[0].Device}' runs in the same QEMU, which may not survive two that end at once.");
        string? baseName = null;
        if (baseImage is not null)
        {
            // By number, so that no two images of one name are mistaken for each other.
            var index = disk.BackingChain.FirstOrDefault(image => image.Source == baseImage)?.Index
                ?? throw new HypervisorException("BaseNotInChain", $"libvirt knows no image '{baseImage}' below disk '{target}'.");
            baseName = $"{target}[{index}]";
        }
        HypervisorLog.NativeJobBegun(_logger, cache.Domain.Name, target, baseImage);
        await CallAsync(domain, async handle =>
        {
            if (baseName is null)
                await handle.BlockPullAsync(target, bandwidth, cancellationToken);
            else
                await handle.BlockRebaseAsync(target, baseName, bandwidth, cancellationToken: cancellationToken);
            return true;
        }, cancellationToken);
    }

    /// <summary>
    /// virDomainBlockPull's job. libvirt cannot hold it at its end, and forgets it together with its error: what QEMU said
    /// of it is taken from the event that libvirt passes on.
    /// </summary>
    private sealed class LibvirtNativeJob(LibvirtHypervisor host, Guid domain, string target, SemaphoreSlim gate) : INativeJob
    {
        private readonly TaskCompletionSource _endTold = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private NativeJobStatus _last = new(NativeJobPhase.Running, 0, 0, null);
        private volatile string? _error;

        /// <summary>Takes from an event what only events tell: that a job ended in an error, and in which.</summary>
        public void Heed(LibvirtEvent happened)
        {
            if (happened.Uuid != domain)
                return;
            switch (happened)
            {
                case BlockJobErrorEvent failed when failed.Job.StartsWith($"pull-{target}-", StringComparison.Ordinal):
                    _error = failed.Error;
                    break;
                case BlockJobEvent { Status: not BlockJobStatus.Ready } ended when ended.Disk == target:
                    if (ended.Status == BlockJobStatus.Failed)
                        _error ??= "libvirt does not say why";
                    _endTold.TrySetResult();
                    break;
            }
        }

        public async Task<NativeJobStatus> AskAsync(CancellationToken cancellationToken)
        {
            if (_last.Phase == NativeJobPhase.Ended)
                return _last;
            if (await host.FindBlockJobAsync(domain, target, cancellationToken) is { } job)
                return _last = _last with { Offset = job.Offset, Length = job.Length };
            await Task.WhenAny(_endTold.Task, Task.Delay(LateEvent, host._time, cancellationToken));
            End();
            return _last;
        }

        public Task SetBandwidthAsync(long bandwidth, CancellationToken cancellationToken) => ActAsync(handle => handle.BlockJobSetSpeedAsync(target, bandwidth, cancellationToken), cancellationToken);

        public Task FinalizeAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public async Task AbortAsync(CancellationToken cancellationToken)
        {
            try
            {
                await ActAsync(handle => handle.BlockJobAbortAsync(target, async: true, pivot: false, cancellationToken), cancellationToken);
                while (await host.FindBlockJobAsync(domain, target, cancellationToken) is not null)
                    await Task.Delay(AbortPoll, host._time, cancellationToken);
            }
            finally
            {
                // Should it stay behind, the next one finds it, and refuses.
                End();
            }
        }

        /// <summary>The job is no more: lets the next one of this QEMU begin.</summary>
        public void End()
        {
            if (_last.Phase == NativeJobPhase.Ended)
                return;
            _last = _last with { Phase = NativeJobPhase.Ended, Error = _error };
            host._nativeJobs.TryRemove(this, out _);
            host.Forget(domain);
            gate.Release();
        }

        private async Task ActAsync(Func<LibvirtDomain, Task> act, CancellationToken cancellationToken)
        {
            try
            {
                await host.CallAsync(domain, async handle =>
                {
                    await act(handle);
                    return true;
                }, cancellationToken);
            }
            catch (HypervisorException) when (_last.Phase != NativeJobPhase.Ended)
            {
                // It may have ended just now, and then there is nothing left to act upon.
                if (await host.FindBlockJobAsync(domain, target, cancellationToken) is not null)
                    throw;
            }
        }
    }
}
