using StreamService.Qemu.Libvirt;
using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

// libvirt's own stream job, and the flush of a disk that cannot be exported.
public sealed partial class LibvirtHypervisor
{
    private static readonly TimeSpan AbortPoll = TimeSpan.FromMilliseconds(50);

    /// <inheritdoc/>
    public async Task<INativeJob> BeginNativeJobAsync(Guid domain, string target, string? baseImage, long bandwidth, CancellationToken cancellationToken)
    {
        var (cache, disk) = await FindDiskAsync(domain, target, cancellationToken);
        HypervisorLog.NativeJobBegun(_logger, cache.Domain.Name, target, baseImage);
        var stream = new LibvirtNativeJob(this, domain, target);
        if (await FindBlockJobAsync(domain, target, cancellationToken) is null)
            await PullAsync(domain, disk, baseImage, bandwidth, cancellationToken);
        else
            await stream.SetBandwidthAsync(bandwidth, cancellationToken);
        return stream;
    }

    /// <inheritdoc/>
    public async Task FlushWithoutExportAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        var (cache, disk) = await FindDiskAsync(domain, target, cancellationToken);
        var device = (await TranslateAsync(() => new Monitor(this, domain).QueryBlockAsync(cancellationToken), domain))
            .FirstOrDefault(device => disk.Alias is { } alias && device.HasAlias(alias))
            ?? throw new DomainNotRunningException(cache.Domain.Name);
        await TranslateAsync(() => new Monitor(this, domain).FlushDeviceAsync(device, cancellationToken), domain);
    }

    private async Task PullAsync(Guid domain, DomainDisk disk, string? baseImage, long bandwidth, CancellationToken cancellationToken)
    {
        string? baseName = null;
        if (baseImage is not null)
        {
            // By number, so that no two images of one name are mistaken for each other.
            var index = disk.BackingChain.FirstOrDefault(image => image.Source == baseImage)?.Index
                ?? throw new HypervisorException("BaseNotInChain", $"libvirt knows no image '{baseImage}' below disk '{disk.Target}'.");
            baseName = $"{disk.Target}[{index}]";
        }
        await CallAsync(domain, async handle =>
        {
            if (baseName is null)
                await handle.BlockPullAsync(disk.Target, bandwidth, cancellationToken);
            else
                await handle.BlockRebaseAsync(disk.Target, baseName, bandwidth, cancellationToken: cancellationToken);
            return true;
        }, cancellationToken);
    }

    /// <summary>
    /// virDomainBlockPull's job. libvirt cannot hold it at its end, and forgets it together with its error: what QEMU said
    /// of it is taken from the event that libvirt passes on.
    /// </summary>
    private sealed class LibvirtNativeJob(LibvirtHypervisor host, Guid domain, string target) : INativeJob
    {
        private NativeJobStatus _last = new(NativeJobPhase.Running, 0, 0, null);

        public async Task<NativeJobStatus> AskAsync(CancellationToken cancellationToken)
        {
            if (_last.Phase == NativeJobPhase.Ended)
                return _last;
            if (await host.FindBlockJobAsync(domain, target, cancellationToken) is { } job)
                return _last = _last with { Offset = job.Offset, Length = job.Length };
            host.Forget(domain);
            return _last = _last with { Phase = NativeJobPhase.Ended };
        }

        public Task SetBandwidthAsync(long bandwidth, CancellationToken cancellationToken) => ActAsync(handle => handle.BlockJobSetSpeedAsync(target, bandwidth, cancellationToken), cancellationToken);

        public Task FinalizeAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public async Task AbortAsync(CancellationToken cancellationToken)
        {
            await ActAsync(handle => handle.BlockJobAbortAsync(target, async: true, pivot: false, cancellationToken), cancellationToken);
            while (await host.FindBlockJobAsync(domain, target, cancellationToken) is not null)
                await Task.Delay(AbortPoll, host._time, cancellationToken);
            host.Forget(domain);
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
