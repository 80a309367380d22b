using StreamService.Streaming.Budgets;

namespace StreamService.Streaming;

/// <summary>
/// Everything that a stream's request must pass before it goes: the bandwidth that the caller gave, the pace that the guest
/// leaves, and the budgets.
/// </summary>
internal sealed class StreamPace(SectorThrottle throttle)
{
    private readonly Lock _lock = new();
    private long _bandwidth = throttle.BytesPerSecond;
    private long _yielded;
    private BudgetPass? _budgets;

    /// <summary>The caller's ceiling in bytes per second; 0 is unlimited.</summary>
    public long Bandwidth
    {
        set
        {
            lock (_lock)
            {
                _bandwidth = value;
                Apply();
            }
        }
    }

    /// <summary>What the guest leaves, in bytes per second; 0 is unlimited.</summary>
    public long YieldedTo
    {
        set
        {
            lock (_lock)
            {
                _yielded = value;
                Apply();
            }
        }
    }

    /// <summary>The budgets that it is under; null while it does not run.</summary>
    public BudgetPass? Budgets
    {
        get => Volatile.Read(ref _budgets);
        set => Volatile.Write(ref _budgets, value);
    }

    /// <summary>How many bytes the next request should ask for at the most: a multiple of the cluster size.</summary>
    public int NextRequestSize => Math.Min(throttle.NextRequestSize, Budgets?.NextRequestSize ?? int.MaxValue);

    /// <summary>Returns when a request of that size may go.</summary>
    /// <param name="bytes">What the request will bring in; at most <see cref="NextRequestSize"/>.</param>
    public async ValueTask WaitAsync(int bytes, CancellationToken cancellationToken)
    {
        await throttle.WaitAsync(bytes, cancellationToken);
        if (Budgets is { } budgets)
            await budgets.WaitAsync(bytes, cancellationToken);
    }

    private void Apply()
    {
        var pace = _yielded == 0 ? _bandwidth : _bandwidth == 0 ? _yielded : Math.Min(_bandwidth, _yielded);
        // Each change gives up a debt; where nothing changed there is none to give up.
        if (pace != throttle.BytesPerSecond)
            throttle.BytesPerSecond = pace;
    }
}
