namespace StreamService.Streaming;

/// <summary>What a job's runs have brought in, one after the other. For the task that owns the job.</summary>
internal sealed class JobProgress
{
    private readonly RateMeter _rate;
    private long _streamedBefore;
    private long _durableBefore;
    private long? _remainingExpected;

    /// <param name="status">Where the job begins.</param>
    public JobProgress(StreamStatus status, TimeProvider time)
    {
        _rate = new RateMeter(time);
        (_streamedBefore, _durableBefore) = (status.BytesStreamed, status.BytesDurable);
    }

    /// <summary>A run begins where the one before has left so much.</summary>
    public void Begin(StreamStatus status) => _remainingExpected = status.BytesRemaining;

    /// <summary>A run is over; this is what it came to.</summary>
    public void Settle(StreamStatus status) => (_streamedBefore, _durableBefore) = (status.BytesStreamed, status.BytesDurable);

    /// <summary>The status with the present figures.</summary>
    /// <param name="run">That is at work; null for none.</param>
    /// <param name="shares">Its parts of the budgets that it is under.</param>
    public StreamStatus AddTo(StreamStatus status, IStreamRun? run, IReadOnlyList<BudgetShare> shares)
    {
        if (run?.RemainingAtStart is { } remaining)
            ForgetWhatWasLost(remaining);
        var streamed = _streamedBefore + (run?.BytesStreamed ?? 0);
        return status with
        {
            BytesStreamed = streamed,
            BytesDurable = _durableBefore + (run?.BytesDurable ?? 0),
            BytesRemaining = run?.BytesRemaining ?? status.BytesRemaining,
            BootReadyAt = status.BootReadyAt ?? run?.BootReadyAt,
            BytesPerSecond = run is null ? 0 : _rate.Observe(streamed),
            GuestLatencyMs = run?.GuestLatencyMs,
            HotRemaining = run is null ? status.HotRemaining : run.HotRemaining ?? status.HotRemaining,
            // The same list as before where nothing about them changed, so that the status counts as the same.
            Budgets = shares.SequenceEqual(status.Budgets) ? status.Budgets : shares,
            Reason = status.State == StreamState.Running ? run?.Yielding : status.Reason,
        };
    }

    /// <summary>
    /// Where more is left than the last run left, the image has forgotten it: QEMU was killed before a flush. What no flush
    /// had saved is then not streamed any more.
    /// </summary>
    private void ForgetWhatWasLost(long remaining)
    {
        if (_remainingExpected is { } expected && remaining > expected)
            _streamedBefore = Math.Max(_durableBefore, _streamedBefore - (remaining - expected));
        _remainingExpected = null;
    }
}
