using StreamService.Qemu.Qmp;

namespace StreamService.Hypervisors;

internal sealed partial class QmpDomain
{
    /// <summary>
    /// QEMU's block-stream, held at its end before it drops the backing link (auto-finalize:false), and kept with its error
    /// until that has been read (auto-dismiss:false).
    /// </summary>
    private sealed class QmpNativeJob(QmpDomain domain, string id) : INativeJob
    {
        private static readonly TimeSpan AbortPoll = TimeSpan.FromMilliseconds(50);

        private NativeJobStatus _last = new(NativeJobPhase.Running, 0, 0, null);

        public string Id => id;

        public Task<NativeJobStatus> AskAsync(CancellationToken cancellationToken) => domain.TranslateAsync(async link =>
        {
            if (_last.Phase == NativeJobPhase.Ended)
                return _last;
            var job = (await link.Client.QueryJobsAsync(cancellationToken)).FirstOrDefault(job => job.Id == id);
            if (job is null or { Status: "concluded" })
                domain._ownJobs.TryRemove(id, out _);
            if (job is null)
                return _last = _last with { Phase = NativeJobPhase.Ended, Error = "QEMU has lost the job: it, or its monitor, began anew." };
            _last = new NativeJobStatus(
                job.Status switch
                {
                    "pending" => NativeJobPhase.Pending,
                    "concluded" => NativeJobPhase.Ended,
                    _ => NativeJobPhase.Running,
                },
                job.CurrentProgress, job.TotalProgress, job.Error);
            if (_last.Phase == NativeJobPhase.Ended)
            {
                await link.Client.JobDismissAsync(id, CancellationToken.None);
                domain._info.Invalidate();
            }
            return _last;
        });

        public Task SetBandwidthAsync(long bandwidth, CancellationToken cancellationToken) =>
            ActAsync(client => client.BlockJobSetSpeedAsync(id, bandwidth, cancellationToken));

        public Task FinalizeAsync(CancellationToken cancellationToken) => domain.TranslateAsync(async link =>
        {
            await link.Client.JobFinalizeAsync(id, cancellationToken);
            return true;
        });

        public async Task AbortAsync(CancellationToken cancellationToken)
        {
            await ActAsync(client => client.JobCancelAsync(id, cancellationToken));
            while ((await AskAsync(cancellationToken)).Phase != NativeJobPhase.Ended)
                await Task.Delay(AbortPoll, domain._time, cancellationToken);
        }

        /// <summary>Acts on the job unless it is over; a refusal because it ended just now is none.</summary>
        private Task<bool> ActAsync(Func<QmpClient, Task> act) => domain.TranslateAsync(async link =>
        {
            try
            {
                await act(link.Client);
            }
            catch (QmpCommandException)
            {
                var job = (await link.Client.QueryJobsAsync()).FirstOrDefault(job => job.Id == id);
                if (job is not (null or { Status: "pending" or "concluded" or "aborting" }))
                    throw;
            }
            return true;
        });
    }
}
