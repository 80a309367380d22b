using StreamService.Configuration;
using StreamService.Streaming.Budgets;

namespace StreamService.Streaming;

/// <summary>What streams share: the budgets and the turns.</summary>
public sealed record StreamLimits(BudgetRegistry Budgets, StreamTurns Turns);

/// <summary>How many streams may run at once; 0 is unlimited.</summary>
public sealed record StreamCaps(int PerHost, int PerSource)
{
    /// <summary>Those of the configuration.</summary>
    public static StreamCaps Of(StreamingOptions options) => new(options.MaxStreamsPerHost, options.MaxStreamsPerSource);
}

/// <summary>
/// Lets streams begin, as many at once as the caps allow. Who waits is in line by priority, then age; who waits for one host
/// or source does not hold up those behind who need another. Pure but for its lock: it calls nobody while it holds it.
/// </summary>
public sealed class StreamTurns(StreamCaps caps)
{
    private readonly Lock _lock = new();
    private readonly List<StreamTicket> _running = [];
    private readonly SortedSet<StreamTicket> _line = new(StreamTicket.InOrder);
    private long _sequence;

    /// <summary>How many are in line.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
                return _line.Count;
        }
    }

    /// <summary>Takes a place in line, or begins at once where there is room.</summary>
    /// <param name="createdAt">Of two of the same priority the older one goes first.</param>
    /// <param name="moved">Called when the ticket's turn has come or its place or reason is another. Must not block.</param>
    public StreamTicket Join(StreamScope scope, StreamPriority priority, DateTimeOffset createdAt, Action moved)
    {
        StreamTicket ticket;
        List<StreamTicket> changed;
        lock (_lock)
        {
            ticket = new StreamTicket(this, scope, priority, createdAt, _sequence++, moved);
            _line.Add(ticket);
            changed = Advance();
        }
        Tell(changed.Where(other => other != ticket));
        return ticket;
    }

    internal void SetPriority(StreamTicket ticket, StreamPriority priority)
    {
        List<StreamTicket> changed;
        lock (_lock)
        {
            // Its place in the set hangs on it: out first.
            var waits = _line.Remove(ticket);
            ticket.Priority = priority;
            if (!waits)
                return;
            _line.Add(ticket);
            changed = Advance();
        }
        Tell(changed);
    }

    internal void Leave(StreamTicket ticket)
    {
        List<StreamTicket> changed;
        lock (_lock)
        {
            if (!_line.Remove(ticket) && !_running.Remove(ticket))
                return;
            changed = Advance();
        }
        Tell(changed);
    }

    private static void Tell(IEnumerable<StreamTicket> tickets)
    {
        foreach (var ticket in tickets)
            ticket.Moved();
    }

    /// <summary>Begins all that may begin, and tells the others their place. Returns whose situation is another now.</summary>
    private List<StreamTicket> Advance()
    {
        var changed = new List<StreamTicket>();
        var hosts = _running.CountBy(ticket => ticket.Scope.Host).ToDictionary();
        var sources = _running.SelectMany(ticket => ticket.Scope.Sources).CountBy(source => source).ToDictionary();
        var behind = new Dictionary<string, int>();
        foreach (var ticket in _line.ToList())
        {
            string? reason = null;
            if (caps.PerHost > 0 && hosts.GetValueOrDefault(ticket.Scope.Host) >= caps.PerHost)
                reason = $"host {ticket.Scope.Host} runs {hosts[ticket.Scope.Host]} of {caps.PerHost} streams";
            else if (caps.PerSource > 0 && ticket.Scope.Sources.FirstOrDefault(source => sources.GetValueOrDefault(source) >= caps.PerSource) is { } full)
                reason = $"image source {full} serves {sources[full]} of {caps.PerSource} streams";
            if (reason is null)
            {
                _line.Remove(ticket);
                _running.Add(ticket);
                hosts[ticket.Scope.Host] = hosts.GetValueOrDefault(ticket.Scope.Host) + 1;
                foreach (var source in ticket.Scope.Sources)
                    sources[source] = sources.GetValueOrDefault(source) + 1;
            }
            else
            {
                // The place is the one among those that wait for the same thing.
                var place = behind[reason] = behind.GetValueOrDefault(reason) + 1;
                reason = $"{Ordinal(place)} in line: {reason}";
            }
            if (reason == ticket.Reason && reason is not null)
                continue;
            ticket.Enter(reason);
            changed.Add(ticket);
        }
        return changed;
    }

    private static string Ordinal(int number) => (number % 100, number % 10) switch
    {
        ( >= 11 and <= 13, _) => $"{number}th",
        (_, 1) => $"{number}st",
        (_, 2) => $"{number}nd",
        (_, 3) => $"{number}rd",
        _ => $"{number}th",
    };
}

/// <summary>One stream's place. Disposed of when the stream does not run any more, or waits no longer.</summary>
public sealed class StreamTicket : IDisposable
{
    internal static readonly IComparer<StreamTicket> InOrder = Comparer<StreamTicket>.Create((a, b) =>
        b.Priority.CompareTo(a.Priority) is not 0 and var priority ? priority
        : a._createdAt.CompareTo(b._createdAt) is not 0 and var age ? age
        : a._sequence.CompareTo(b._sequence));

    private readonly StreamTurns _queue;
    private readonly DateTimeOffset _createdAt;
    private readonly long _sequence;
    private volatile string? _reason;
    private volatile bool _hasTurn;

    internal StreamTicket(StreamTurns queue, StreamScope scope, StreamPriority priority, DateTimeOffset createdAt, long sequence, Action moved)
    {
        _queue = queue;
        _createdAt = createdAt;
        _sequence = sequence;
        Scope = scope;
        Priority = priority;
        Moved = moved;
    }

    /// <summary>Whether the stream may run.</summary>
    public bool HasTurn => _hasTurn;

    /// <summary>Its place and what it waits for, in words; null once it has its turn.</summary>
    public string? Reason => _reason;

    internal StreamScope Scope { get; }
    internal StreamPriority Priority { get; set; }
    internal Action Moved { get; }

    /// <summary>Moves it in line; does nothing to one that runs.</summary>
    public void SetPriority(StreamPriority priority) => _queue.SetPriority(this, priority);

    public void Dispose() => _queue.Leave(this);

    internal void Enter(string? reason)
    {
        _reason = reason;
        _hasTurn = reason is null;
    }
}
