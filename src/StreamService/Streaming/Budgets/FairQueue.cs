namespace StreamService.Streaming.Budgets;

/// <summary>
/// Shares one pace among members by weight: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) in front of a
/// byte bucket. Requests go in the order of their start tags <c>S = max(V, F)</c>, where <c>V</c> is the tag of the request that
/// went last and <c>F</c> the member's own finish tag, which each request raises by its bytes over the member's weight.
/// <c>V</c> is looked at <see cref="Patience"/> late, so that a stream whose next request comes some milliseconds after its turn,
/// as on a busy host, does not lose its share for that.
/// </summary>
/// <remarks>
/// What a member leaves unused goes to the others at once: who asks for nothing is not in line. In any <see cref="Window"/> no more
/// goes out than the pace times that window, <see cref="LateTimer"/> and <see cref="Credit"/>; only where requests are large against
/// it the last may go beyond, or a slow pace would never be reached.
/// Not safe for several threads; <see cref="Budget"/> holds the lock.
/// </remarks>
internal sealed class FairQueue
{
    /// <summary>How much of the pace an idle queue may have saved: what a timer that fires late needs to be made up for.</summary>
    public static readonly TimeSpan Credit = TimeSpan.FromMilliseconds(5);

    /// <summary>What late timers cost beyond the credit is paid back at this part of the pace, as far as the window has room.</summary>
    private const double CatchUpShare = 0.02;

    /// <summary>The span of time in which the pace is not exceeded.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromMilliseconds(200);

    /// <summary>What is owed beyond this was not lateness but a machine that stood still.</summary>
    private static readonly TimeSpan LongestArrears = TimeSpan.FromMilliseconds(250);

    /// <summary>How long after its turn a member's request may come without loss; at most twice as long.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    /// <summary>A request up to this part of a window's bytes waits until the window has room for all of it.</summary>
    private const double SmallRequest = 0.01;

    /// <summary>A timer this late is no reason to let less go in the next window; the present one holds so much more.</summary>
    public static readonly TimeSpan LateTimer = TimeSpan.FromMilliseconds(2);

    private readonly TimeProvider _time;
    private readonly SortedSet<FairRequest> _line = new(FairRequest.InOrder);
    private readonly Queue<(long At, int Bytes)> _gone = new();
    private long _bytesGone;
    private long _dueAt;
    private long _bytesPerSecond;
    private double _balance;
    private double _arrears;
    private double _virtualTime;
    private double _virtualTimeBefore;
    private double _virtualTimeLast;
    private long _virtualTimeAt;
    private long _accountedAt;
    private long _sequence;

    /// <param name="bytesPerSecond">0 is unlimited.</param>
    public FairQueue(long bytesPerSecond, TimeProvider time)
    {
        _time = time;
        _bytesPerSecond = bytesPerSecond;
        _accountedAt = time.GetTimestamp();
    }

    /// <summary>Requests in line.</summary>
    public int Waiting => _line.Count;

    /// <summary>The pace in bytes per second; 0 is unlimited. A change counts from this moment on.</summary>
    public long BytesPerSecond
    {
        get => _bytesPerSecond;
        set
        {
            if (value == _bytesPerSecond)
                return;
            Account();
            // A debt is time to wait at the old pace: in bytes it would be hours at a slower one.
            if (_balance < 0 && _bytesPerSecond > 0 && value > 0)
                _balance *= Math.Min(1, (double)value / _bytesPerSecond);
            if (value == 0)
                _balance = 0;
            _arrears = 0;
            _bytesPerSecond = value;
        }
    }

    /// <summary>Puts a request in line.</summary>
    public FairRequest Enqueue(FairMember member, int bytes)
    {
        // What passes while nobody waits is saved as credit, not owed.
        if (_line.Count == 0)
            Account();
        // Who never asked before has waited for nothing.
        var request = new FairRequest(member, bytes, member.FinishTag is { } own ? Math.Max(LateVirtualTime(), own) : _virtualTime, _sequence++);
        member.FinishTag = request.FinishTag;
        member.Pending = request;
        _line.Add(request);
        return request;
    }

    /// <summary>Takes a request out of the line that nobody waits for any more; the member has not used its turn.</summary>
    public void Withdraw(FairRequest request)
    {
        if (!_line.Remove(request))
            return;
        request.Member.FinishTag = request.StartTag;
        request.Member.Pending = null;
    }

    /// <summary>Changes a member's weight; counts for a request in line already.</summary>
    public static void SetWeight(FairMember member, int weight)
    {
        member.Weight = weight;
        if (member.Pending is { } pending)
            member.FinishTag = pending.FinishTag;
    }

    /// <summary>Lets go what may go by now, in order. Returns how long until the next may; null while nobody waits.</summary>
    public TimeSpan? Serve(ICollection<FairRequest> granted)
    {
        Account();
        while (_line.Count > 0 && (_bytesPerSecond == 0 || (_balance >= 0 && HasRoom)))
        {
            var request = _line.Min!;
            _line.Remove(request);
            request.Member.Pending = null;
            _virtualTime = Math.Max(_virtualTime, request.StartTag);
            if (_bytesPerSecond > 0)
            {
                _balance -= request.Bytes;
                Record(request.Bytes);
            }
            granted.Add(request);
        }
        if (_line.Count == 0)
            return null;
        var wait = TimeSpan.FromSeconds(Math.Max(0, -_balance / _bytesPerSecond));
        return HasRoom ? wait : TimeSpan.FromTicks(Math.Max(wait.Ticks, (Window - _time.GetElapsedTime(_gone.Peek().At, _accountedAt)).Ticks + 1));
    }

    /// <summary>Keeps in mind that it went, when it was due: else each late timer would lose its time for ever.</summary>
    private void Record(int bytes)
    {
        var at = Math.Clamp(_dueAt, _accountedAt - (long)(LateTimer.TotalSeconds * _time.TimestampFrequency), _accountedAt);
        _dueAt = at + (long)(bytes * (double)_time.TimestampFrequency / _bytesPerSecond);
        _gone.Enqueue((at, bytes));
        _bytesGone += bytes;
    }

    private bool HasRoom
    {
        get
        {
            var room = (_bytesPerSecond * Window.TotalSeconds) - _bytesGone;
            var next = _line.Min!.Bytes;
            return room >= next || _bytesGone == 0 || (room > 0 && next > _bytesPerSecond * Window.TotalSeconds * SmallRequest);
        }
    }

    private double LateVirtualTime()
    {
        var now = _time.GetTimestamp();
        var passed = _time.GetElapsedTime(_virtualTimeAt, now);
        if (passed >= Patience)
        {
            // Where nobody asked for longer there is nothing to be late for.
            _virtualTimeBefore = passed < Patience * 2 ? _virtualTimeLast : _virtualTime;
            _virtualTimeLast = _virtualTime;
            _virtualTimeAt = now;
        }
        return _virtualTimeBefore;
    }

    private void Account()
    {
        var now = _time.GetTimestamp();
        var seconds = _time.GetElapsedTime(_accountedAt, now).TotalSeconds;
        _accountedAt = now;
        while (_gone.TryPeek(out var oldest) && _time.GetElapsedTime(oldest.At, now) > Window)
            _bytesGone -= _gone.Dequeue().Bytes;
        if (_bytesPerSecond == 0)
            return;
        var due = _bytesPerSecond * seconds;
        var back = Math.Min(_arrears, due * CatchUpShare);
        _arrears -= back;
        _balance += due + back;
        var over = _balance - _bytesPerSecond * Credit.TotalSeconds;
        if (over <= 0)
            return;
        _balance -= over;
        if (_line.Count > 0)
            _arrears = Math.Min(_arrears + over, _bytesPerSecond * LongestArrears.TotalSeconds);
    }
}

/// <summary>Who shares in a <see cref="FairQueue"/>.</summary>
/// <param name="weight">Its share against the others', at least 1.</param>
internal sealed class FairMember(int weight)
{
    public int Weight { get; set; } = weight;

    /// <summary>Null until it first asks.</summary>
    public double? FinishTag { get; set; }

    /// <summary>Its request in line. A member has one at a time: a stream asks for its next request when the last has gone.</summary>
    public FairRequest? Pending { get; set; }
}

/// <summary>One request in line.</summary>
internal sealed class FairRequest(FairMember member, int bytes, double startTag, long sequence)
{
    /// <summary>By start tag; of two alike the one that came first.</summary>
    public static readonly IComparer<FairRequest> InOrder = Comparer<FairRequest>.Create((a, b) =>
        a.StartTag.CompareTo(b.StartTag) is not 0 and var order ? order : a._sequence.CompareTo(b._sequence));

    private readonly long _sequence = sequence;

    public FairMember Member { get; } = member;
    public int Bytes { get; } = bytes;
    public double StartTag { get; } = startTag;
    public double FinishTag => StartTag + (double)Bytes / Member.Weight;

    /// <summary>Completed when it may go.</summary>
    public TaskCompletionSource Granted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
