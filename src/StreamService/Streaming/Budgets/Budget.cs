using StreamService.Telemetry;

namespace StreamService.Streaming.Budgets;

/// <summary>One budget at work: its members' requests wait in a <see cref="FairQueue"/>, a timer lets them go.</summary>
internal sealed class Budget : IDisposable
{
    /// <summary>Who asked for nothing for so long leaves its share to the others, also in the size of their requests.</summary>
    private static readonly TimeSpan AbsentAfter = TimeSpan.FromSeconds(1);

    /// <summary>How often the sum of the weights is taken anew: it only sizes requests.</summary>
    private static readonly TimeSpan WeighEvery = TimeSpan.FromMilliseconds(100);

    /// <summary>Timers count in milliseconds; asked for less, they would spin.</summary>
    private static readonly TimeSpan ShortestWait = TimeSpan.FromMilliseconds(1);

    private static readonly TimeSpan LongestWait = TimeSpan.FromDays(1);

    private readonly BudgetMeters _meters;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly FairQueue _queue;
    private readonly HashSet<BudgetMember> _members = [];
    private readonly ITimer _timer;
    private long _weighedAt;
    private long _pace;
    private int _weights;
    private int _elsewhere;
    private bool _dissolved;

    public Budget(BudgetDefinition definition, TimeProvider time)
    {
        _meters = new BudgetMeters(definition.Name);
        _time = time;
        Definition = definition;
        _pace = definition.PaceAt(time.GetUtcNow());
        _queue = new FairQueue(_pace, time);
        _timer = time.CreateTimer(_ => Serve(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public BudgetDefinition Definition { get; private set; }

    /// <summary>The pace at present, in bytes per second, for all replicas together; 0 is unlimited.</summary>
    public long BytesPerSecond
    {
        get
        {
            lock (_lock)
                return _pace;
        }
    }

    /// <summary>What those weigh that are at work here.</summary>
    public int Weight
    {
        get
        {
            lock (_lock)
            {
                Weigh();
                return _weights;
            }
        }
    }

    /// <summary>What those weigh that are at work on other replicas: of the pace they get their share, and those here theirs.</summary>
    public int WeightElsewhere
    {
        set
        {
            lock (_lock)
            {
                _elsewhere = value;
                Weigh();
            }
            Serve();
        }
    }

    /// <summary>Streams that share it at present.</summary>
    public int Members
    {
        get
        {
            lock (_lock)
                return _members.Count;
        }
    }

    /// <summary>Adds a stream.</summary>
    public BudgetMember Join(int weight, int clusterSize)
    {
        var member = new BudgetMember(this, weight, clusterSize) { AskedAt = _time.GetTimestamp() };
        lock (_lock)
        {
            _members.Add(member);
            Weigh();
        }
        return member;
    }

    /// <summary>Takes over another definition of the same scope, or the present one's pace of this time of day, at once.</summary>
    public void Update(BudgetDefinition definition)
    {
        lock (_lock)
        {
            Definition = definition;
            _pace = definition.PaceAt(_time.GetUtcNow());
            Weigh();
        }
        Serve();
    }

    /// <summary>Ends it: whoever waits may go, and nobody waits any more.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _dissolved = true;
            _queue.BytesPerSecond = _pace = 0;
        }
        Serve();
        _timer.Dispose();
    }

    internal async ValueTask WaitAsync(BudgetMember member, int bytes, CancellationToken cancellationToken)
    {
        FairRequest request;
        lock (_lock)
        {
            member.AskedAt = _time.GetTimestamp();
            if (_dissolved || !_members.Contains(member))
                return;
            request = _queue.Enqueue(member.Fair, bytes);
        }
        Serve();
        if (request.Granted.Task.IsCompleted)
            return;
        await using var withdrawal = cancellationToken.Register(() =>
        {
            lock (_lock)
                _queue.Withdraw(request);
            request.Granted.TrySetCanceled(cancellationToken);
        });
        await request.Granted.Task;
    }

    internal int RequestSize(BudgetMember member)
    {
        lock (_lock)
            return SectorThrottle.RequestSizeFor(_queue.BytesPerSecond == 0 ? 0 : Math.Max(1, ShareOf(member)), member.ClusterSize);
    }

    /// <summary>What of its pace is a member's now.</summary>
    internal BudgetShare Describe(BudgetMember member)
    {
        lock (_lock)
            return new BudgetShare(Definition.Name, _pace, ShareOf(member));
    }

    private long ShareOf(BudgetMember member)
    {
        if (_time.GetElapsedTime(_weighedAt) >= WeighEvery)
            Weigh();
        return (long)((double)_queue.BytesPerSecond * member.Fair.Weight / Math.Max(_weights, member.Fair.Weight));
    }

    internal void SetWeight(BudgetMember member, int weight)
    {
        lock (_lock)
        {
            FairQueue.SetWeight(member.Fair, weight);
            Weigh();
        }
    }

    internal void Leave(BudgetMember member)
    {
        lock (_lock)
        {
            if (member.Fair.Pending is { } pending)
            {
                _queue.Withdraw(pending);
                pending.Granted.TrySetResult();
            }
            _members.Remove(member);
            Weigh();
        }
        Serve();
    }

    private void Weigh()
    {
        _weighedAt = _time.GetTimestamp();
        _weights = _members
            .Where(member => member.Fair.Pending is not null || _time.GetElapsedTime(member.AskedAt, _weighedAt) < AbsentAfter)
            .Sum(member => member.Fair.Weight);
        var share = ReplicaShare.Of(_pace, _weights, _elsewhere);
        // Told only what is new: a queue that gets another pace begins to count anew.
        if (share != _queue.BytesPerSecond)
            _queue.BytesPerSecond = share;
    }

    private void Serve()
    {
        var granted = new List<FairRequest>();
        lock (_lock)
        {
            if (_queue.Serve(granted) is { } wait)
                _timer.Change(wait < ShortestWait ? ShortestWait : wait > LongestWait ? LongestWait : wait, Timeout.InfiniteTimeSpan);
        }
        foreach (var request in granted)
            if (request.Granted.TrySetResult())
                _meters.Grant(request.Bytes);
    }
}

/// <summary>One stream's membership in one budget.</summary>
internal sealed class BudgetMember(Budget budget, int weight, int clusterSize) : IDisposable
{
    public Budget Budget { get; } = budget;

    internal FairMember Fair { get; } = new(weight);

    /// <summary>The smallest useful request, in bytes.</summary>
    internal int ClusterSize { get; } = clusterSize;

    internal long AskedAt { get; set; }

    /// <summary>How many bytes the next request should ask for at the most: follows the share that is to be expected.</summary>
    public int NextRequestSize => Budget.RequestSize(this);

    /// <summary>What of the budget is the stream's now.</summary>
    public BudgetShare Share => Budget.Describe(this);

    /// <summary>Returns when the budget lets a request of that size go.</summary>
    public ValueTask WaitAsync(int bytes, CancellationToken cancellationToken) => Budget.WaitAsync(this, bytes, cancellationToken);

    public void SetWeight(int weight) => Budget.SetWeight(this, weight);

    public void Dispose() => Budget.Leave(this);
}
