using StreamService.Hypervisors;

namespace StreamService.Streaming;

/// <summary>Sees a hypervisor's own stream job through: to drop a link after all was populated, or to do all of the work.</summary>
internal static class NativeStreaming
{
    /// <summary>Between two looks at the job: soon at first, for a job that only drops a link is over at once.</summary>
    private static readonly TimeSpan FirstPoll = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan LongestPoll = TimeSpan.FromMilliseconds(50);

    /// <summary>Returns when the job has ended well.</summary>
    /// <param name="atPending">
    /// Awaited while the job has copied everything and still holds the backing link, where the hypervisor can hold it: the
    /// moment to put all on stable storage.
    /// </param>
    /// <param name="look">Called with every look at the job; what it returns is the pace to set, null to leave it.</param>
    /// <exception cref="HypervisorException">The job failed; its own words are in it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the job is gone, what it populated stays.</exception>
    public static async Task RunToEndAsync(INativeJob stream, Func<CancellationToken, Task> atPending, Func<NativeJobStatus, long?> look,
        TimeProvider time, CancellationToken cancellationToken)
    {
        var ended = false;
        var poll = FirstPoll;
        try
        {
            for (var finalized = false; ;)
            {
                var status = await stream.AskAsync(cancellationToken);
                ended = status.Phase == NativeJobPhase.Ended;
                if (look(status) is { } bandwidth && !ended)
                    await stream.SetBandwidthAsync(bandwidth, cancellationToken);
                if (ended && status.Error is { } error)
                    throw new HypervisorException("StreamJobFailed", $"The hypervisor's own stream job failed: {error}.");
                if (ended)
                    return;
                if (status.Phase == NativeJobPhase.Pending && !finalized)
                {
                    await atPending(cancellationToken);
                    await stream.FinalizeAsync(cancellationToken);
                    finalized = true;
                }
                await Task.Delay(poll, time, cancellationToken);
                poll = poll * 2 < LongestPoll ? poll * 2 : LongestPoll;
            }
        }
        catch (Exception) when (!ended)
        {
            await TryAbortAsync(stream);
            throw;
        }
    }

    /// <summary>A job must not outlive the run that began it: held at its end it would keep all others off the disk.</summary>
    private static async Task TryAbortAsync(INativeJob stream)
    {
        try
        {
            await stream.AbortAsync(CancellationToken.None);
        }
        catch (Exception exception) when (exception is HypervisorException or HostUnreachableException or DomainNotFoundException or DomainNotRunningException)
        {
            // Gone with its QEMU; or it stays behind, and the next run on this disk ends it.
        }
    }
}
