using System.Threading.Channels;

namespace StreamService.Hypervisors;

/// <summary>
/// One period in which this service drives a host: is connected to it and runs its streams, migrations and deployments. On a single
/// machine it lasts as long as the service; of several replicas only the one that has the host's lease is in a term.
/// </summary>
public sealed class HostTerm : IDisposable
{
    private readonly Func<bool>? _isHeld;
    private readonly Channel<Func<CancellationToken, Task>> _work = Channel.CreateUnbounded<Func<CancellationToken, Task>>();
    private readonly CancellationTokenSource _ending = new();
    private volatile bool _lost;
    private bool _ended;

    /// <param name="epoch">Rises with every term of the host, whichever replica has it. What a later term has put on record is closed to this one.</param>
    /// <param name="isHeld">Whether the lease is still good, by the clock; null where there is none to lose.</param>
    public HostTerm(IHypervisor hypervisor, long epoch, Func<bool>? isHeld = null)
    {
        _isHeld = isHeld;
        Hypervisor = hypervisor;
        Host = hypervisor.Info.Name;
        Epoch = epoch;
        Ending = _ending.Token;
    }

    public IHypervisor Hypervisor { get; }

    /// <summary>The configured name of the host.</summary>
    public string Host { get; }

    public long Epoch { get; }

    /// <summary>Ends what runs in the term: jobs flush, and leave their records for the next.</summary>
    public CancellationToken Ending { get; }

    /// <summary>Whether the host may be driven at this moment: false from the very instant in which a process wakes that stood still for too long.</summary>
    public bool IsHeld
    {
        get
        {
            if (!_lost && _isHeld?.Invoke() == false)
                Lose();
            return !_lost;
        }
    }

    /// <summary>Ends it in order: the host stays this service's until all work has ended.</summary>
    public void End()
    {
        _work.Writer.TryComplete();
        if (!Interlocked.Exchange(ref _ended, true))
            _ending.Cancel();
    }

    /// <summary>Ends it because another may have the host by now: nothing more is asked of it.</summary>
    public void Lose()
    {
        _lost = true;
        End();
    }

    /// <summary>Adds work that runs until it ends by itself or the term does.</summary>
    /// <returns>False where the term is ending.</returns>
    public bool TryRun(Func<CancellationToken, Task> work) => _work.Writer.TryWrite(work);

    /// <summary>Runs work that a caller waits for, and that the end of the term waits for too.</summary>
    /// <exception cref="HostUnreachableException">The term is ending.</exception>
    public async Task<T> RunAsync<T>(Func<Task<T>> work)
    {
        var result = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!TryRun(async _ => result.SetFromTask(await Task.WhenAny(BeginAsync(work)))))
            throw new HostUnreachableException(Host, HostTerms.NoDriver);
        return await result.Task;
    }

    /// <summary>What is wrong at once is the work's fault too.</summary>
    private static async Task<T> BeginAsync<T>(Func<Task<T>> work) => await work();

    /// <summary>Runs the work; returns once the term has ended, and all work with it.</summary>
    internal async Task WorkAsync()
    {
        var running = new HashSet<Task>();
        await foreach (var work in _work.Reader.ReadAllAsync(CancellationToken.None))
        {
            running.RemoveWhere(task => task.IsCompleted);
            running.Add(work(Ending));
        }
        await Task.WhenAll(running);
    }

    /// <summary>To be called once it has ended.</summary>
    public void Dispose() => _ending.Dispose();
}

/// <summary>The terms in which this service is: the hosts that it drives at present.</summary>
public sealed class HostTerms
{
    /// <summary>Why a host cannot be asked for anything.</summary>
    public const string NoDriver = "No replica of this service drives it at the moment; one takes it over within seconds.";

    private readonly System.Collections.Concurrent.ConcurrentDictionary<string, HostTerm> _terms = new();

    private readonly System.Collections.Concurrent.ConcurrentDictionary<string, bool> _due = new();

    /// <summary>Whether a term of the host is about to begin: nobody else can be asked about it.</summary>
    public bool IsDue(string host) => _due.ContainsKey(host);

    /// <summary>The host's term; null where this service does not drive it.</summary>
    public HostTerm? Find(string host) => _terms.TryGetValue(host, out var term) ? term : null;

    /// <exception cref="HostUnreachableException">This service does not drive it.</exception>
    public HostTerm Get(string host) => Find(host) ?? throw new HostUnreachableException(host, NoDriver);

    /// <summary>Those that there are.</summary>
    public IReadOnlyCollection<HostTerm> All => [.. _terms.Values];

    internal void SetDue(string host) => _due[host] = true;

    internal void SetNotDue(string host) => _due.TryRemove(host, out _);

    internal void Add(HostTerm term) => _terms[term.Host] = term;

    internal void Remove(HostTerm term) => _terms.TryRemove(KeyValuePair.Create(term.Host, term));
}
