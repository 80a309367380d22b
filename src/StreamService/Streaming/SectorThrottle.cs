namespace StreamService.Streaming;

/// <summary>
/// Paces one stream: a byte bucket on an injected clock. In any window of time no more than the pace times that window
/// plus one unit goes out, and what a late timer missed is caught up as far as that bound allows.
/// </summary>
/// <remarks>
/// A request may go while the balance is not negative, and is then subtracted from it; so the balance lies between minus
/// one request and the credit, and request plus credit, what is paid back among it, is the unit. What a flush or a busy host
/// held up for longer than the credit makes up for is paid back at <see cref="CatchUpShare"/> of the pace. Requests are small when the
/// pace is slow (some 30 a second) and large when it is fast, where a small unit costs more than it smooths.
/// Only one caller waits at a time; changes come from any thread.
/// </remarks>
public sealed class SectorThrottle
{
    /// <summary>The largest request at any pace, in bytes: with the credit, twice that may go at once.</summary>
    public const int LargestPacedRequest = 512 << 10;

    /// <summary>The largest request without a pace, in bytes. With 4 MiB QEMU writes a file at half the speed.</summary>
    public const int LargestRequest = 2 << 20;

    // Longer is no pace that anybody waits for; who waits looks again.
    private static readonly TimeSpan LongestDelay = TimeSpan.FromDays(1);

    /// <summary>What was held up is paid back at this part of the pace, in addition to it; not where the pace is fast.</summary>
    private const double CatchUpShare = 0.03;

    /// <summary>The span of which the bound is told: what is paid back within it comes off the credit.</summary>
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(100);

    /// <summary>What the credit must make up for in any case.</summary>
    private static readonly TimeSpan LateTimer = TimeSpan.FromMilliseconds(10);

    /// <summary>What was held up for longer is not paid back: the stream was idle, or its source slow.</summary>
    private static readonly TimeSpan LongestArrears = TimeSpan.FromMilliseconds(200);

    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly int _clusterSize;
    private long _bytesPerSecond;
    private double _balance;
    private double _arrears;
    private long _accountedAt;
    private TaskCompletionSource _changed = NewSignal();

    /// <param name="bytesPerSecond">0 is unlimited.</param>
    /// <param name="clusterSize">The smallest useful request, in bytes.</param>
    public SectorThrottle(long bytesPerSecond, int clusterSize, TimeProvider time)
    {
        _time = time;
        _clusterSize = clusterSize;
        _bytesPerSecond = bytesPerSecond;
        _accountedAt = time.GetTimestamp();
    }

    /// <summary>The pace in bytes per second; 0 is unlimited. A change reaches a waiting caller at once.</summary>
    public long BytesPerSecond
    {
        get
        {
            lock (_lock)
                return _bytesPerSecond;
        }
        set
        {
            TaskCompletionSource changed;
            lock (_lock)
            {
                Account();
                // A debt is time to wait at the old pace. Carried over in bytes it would be hours at a slower one.
                if (_balance < 0 && _bytesPerSecond > 0)
                    _balance = Math.Max(_balance, -(double)RequestSize(value));
                if (value == 0)
                    _balance = 0;
                _arrears = 0;
                _bytesPerSecond = value;
                (changed, _changed) = (_changed, NewSignal());
            }
            changed.TrySetResult();
        }
    }

    /// <summary>How many bytes the next request should ask for at the most: a multiple of the cluster size.</summary>
    public int NextRequestSize
    {
        get
        {
            lock (_lock)
                return RequestSize(_bytesPerSecond);
        }
    }

    /// <summary>Returns when a request of that size may go.</summary>
    /// <param name="bytes">What the request will bring in; at most <see cref="NextRequestSize"/>.</param>
    public async ValueTask WaitAsync(int bytes, CancellationToken cancellationToken)
    {
        while (true)
        {
            TimeSpan wait;
            Task changed;
            lock (_lock)
            {
                Account();
                if (_bytesPerSecond == 0 || _balance >= 0)
                {
                    if (_bytesPerSecond > 0)
                        _balance -= bytes;
                    return;
                }
                // Task.Delay cuts fractions of a millisecond off, and would come back too soon, again and again.
                wait = TimeSpan.FromMilliseconds(Math.Ceiling(Math.Min(-_balance / _bytesPerSecond, LongestDelay.TotalSeconds) * 1000));
                changed = _changed.Task;
            }
            await DelayAsync(wait, changed, cancellationToken);
        }
    }

    private async Task DelayAsync(TimeSpan wait, Task changed, CancellationToken cancellationToken)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        await Task.WhenAny(Task.Delay(wait, _time, enough.Token), changed);
        await enough.CancelAsync();
        cancellationToken.ThrowIfCancellationRequested();
    }

    private void Account()
    {
        var now = _time.GetTimestamp();
        if (_bytesPerSecond > 0)
        {
            var request = RequestSize(_bytesPerSecond);
            // At a slow pace a full request of credit could send two within a moment; 50 ms of pace cannot.
            var credit = Math.Min(request, _bytesPerSecond * 0.05);
            // At a fast pace the credit is some milliseconds, and late timers need them all.
            var spare = Math.Max(0, credit - _bytesPerSecond * LateTimer.TotalSeconds);
            var catchUp = Math.Min(CatchUpShare, spare / (_bytesPerSecond * Moment.TotalSeconds));
            credit -= _bytesPerSecond * catchUp * Moment.TotalSeconds;
            var due = _bytesPerSecond * _time.GetElapsedTime(_accountedAt, now).TotalSeconds;
            var back = Math.Min(_arrears, due * catchUp);
            var balance = _balance + due + back;
            _balance = Math.Min(credit, balance);
            _arrears = Math.Min(_arrears - back + balance - _balance, _bytesPerSecond * LongestArrears.TotalSeconds);
        }
        _accountedAt = now;
    }

    private int RequestSize(long bytesPerSecond) => RequestSizeFor(bytesPerSecond, _clusterSize);

    /// <summary>The request that suits a pace: small ones, some 30 a second, while it is slow; large ones when it is fast.</summary>
    /// <param name="bytesPerSecond">0 is unlimited.</param>
    /// <param name="clusterSize">The smallest useful request, in bytes.</param>
    internal static int RequestSizeFor(long bytesPerSecond, int clusterSize)
    {
        if (bytesPerSecond == 0)
            return Math.Max(LargestRequest, clusterSize);
        var size = clusterSize;
        while (size * 2 <= LargestPacedRequest && size * 2 <= bytesPerSecond / 32)
            size *= 2;
        return size;
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
