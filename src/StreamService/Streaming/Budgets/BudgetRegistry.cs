using System.Collections.Immutable;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Storage;

namespace StreamService.Streaming.Budgets;

/// <summary>Where a budget was defined.</summary>
[System.Text.Json.Serialization.JsonConverter(typeof(CamelCaseEnumConverter<BudgetOrigin>))]
public enum BudgetOrigin
{
    /// <summary>In the configuration: the API cannot change it.</summary>
    Configuration,

    /// <summary>By the API; on record.</summary>
    Api,
}

/// <summary>A budget as it stands.</summary>
/// <param name="PresentBytesPerSecond">Its pace at this time of day; 0 is unlimited.</param>
/// <param name="Streams">How many streams share it now.</param>
public sealed record BudgetStatus(BudgetDefinition Definition, BudgetOrigin Origin, long PresentBytesPerSecond, int Streams);

/// <summary>No budget has that name.</summary>
public sealed class BudgetNotFoundException(string name) : Exception($"There is no budget '{name}'.");

/// <summary>The budget is defined in the configuration, and is changed there.</summary>
public sealed class BudgetConfiguredException(string name) : Exception($"Budget '{name}' is defined in the configuration; it is changed there.");

/// <summary>All budgets, those of the configuration and those of the API, and which streams are under which.</summary>
public sealed class BudgetRegistry : IDisposable
{
    /// <summary>How late the edge of a time window may take effect.</summary>
    private static readonly TimeSpan LookAtClock = TimeSpan.FromSeconds(1);

    private readonly BudgetStore _store;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, (Budget Budget, BudgetOrigin Origin)> _budgets = new(StringComparer.Ordinal);
    private readonly HashSet<BudgetPass> _passes = [];
    private readonly ITimer _clock;
    private Dictionary<string, int> _streamsElsewhere = [];

    public BudgetRegistry(IOptions<StreamServiceOptions> options, BudgetStore store, TimeProvider time)
    {
        _store = store;
        _time = time;
        foreach (var budget in options.Value.Budgets)
            _budgets[budget.Name] = (new Budget(budget.ToDefinition(), time), BudgetOrigin.Configuration);
        _clock = time.CreateTimer(_ => FollowClock(), null, LookAtClock, LookAtClock);
    }

    /// <summary>Reads what the API defined before this service was started. The configuration goes before it.</summary>
    public async Task LoadAsync(CancellationToken cancellationToken)
    {
        foreach (var definition in await _store.ListAsync(cancellationToken))
            lock (_lock)
                if (!_budgets.ContainsKey(definition.Name))
                    Enter(definition);
    }

    /// <summary>Reads them again: another replica may have changed some.</summary>
    public async Task ReloadAsync(CancellationToken cancellationToken)
    {
        await _changing.WaitAsync(cancellationToken);
        try
        {
            var stored = await _store.ListAsync(cancellationToken);
            lock (_lock)
            {
                foreach (var gone in _budgets.Where(known => known.Value.Origin == BudgetOrigin.Api && stored.All(definition => definition.Name != known.Key)).ToList())
                    Leave(gone.Key);
                foreach (var definition in stored)
                    if (!_budgets.TryGetValue(definition.Name, out var known))
                        Enter(definition);
                    else if (known.Origin == BudgetOrigin.Api)
                        Change(known.Budget, definition);
            }
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>What the streams here weigh in each budget that replicas share: a host's streams are all on one.</summary>
    public IReadOnlyDictionary<string, BudgetLoad> Loads()
    {
        lock (_lock)
            return _budgets.Values.Select(entry => entry.Budget).Where(budget => budget.Members > 0)
                .ToDictionary(budget => budget.Definition.Name, budget => new BudgetLoad(budget.Definition.Scope == BudgetScope.Host ? 0 : budget.Weight, budget.Members));
    }

    /// <summary>Takes note of what the streams of all other replicas weigh.</summary>
    public void Share(IEnumerable<IReadOnlyDictionary<string, BudgetLoad>> others)
    {
        var elsewhere = others.SelectMany(loads => loads).ToLookup(load => load.Key, load => load.Value);
        lock (_lock)
        {
            foreach (var (name, (budget, _)) in _budgets)
                budget.WeightElsewhere = elsewhere[name].Sum(load => load.Weight);
            _streamsElsewhere = elsewhere.ToDictionary(loads => loads.Key, loads => loads.Sum(load => load.Streams));
        }
    }

    /// <summary>All budgets, by name.</summary>
    public IReadOnlyList<BudgetStatus> List()
    {
        lock (_lock)
            return [.. _budgets.Values.Select(Describe)];
    }

    /// <exception cref="BudgetNotFoundException">There is none of that name.</exception>
    public BudgetStatus Find(string name)
    {
        lock (_lock)
            return _budgets.TryGetValue(name, out var found) ? Describe(found) : throw new BudgetNotFoundException(name);
    }

    /// <summary>Defines a budget, or changes it, for the streams that run too; in force when this returns.</summary>
    /// <returns>The budget, and whether it is a new one.</returns>
    /// <exception cref="BudgetConfiguredException">The configuration defines that name.</exception>
    public async Task<(BudgetStatus Status, bool Added)> PutAsync(BudgetDefinition definition, CancellationToken cancellationToken)
    {
        await _changing.WaitAsync(cancellationToken);
        try
        {
            CheckOrigin(definition.Name);
            await _store.PutAsync(definition, cancellationToken);
            lock (_lock)
            {
                var known = _budgets.TryGetValue(definition.Name, out var found);
                if (known)
                    Change(found.Budget, definition);
                else
                    Enter(definition);
                return (Describe(_budgets[definition.Name]), !known);
            }
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Ends a budget; whoever waited for it goes on at once.</summary>
    /// <exception cref="BudgetNotFoundException">There is none of that name.</exception>
    /// <exception cref="BudgetConfiguredException">The configuration defines that name.</exception>
    public async Task RemoveAsync(string name, CancellationToken cancellationToken)
    {
        await _changing.WaitAsync(cancellationToken);
        try
        {
            CheckOrigin(name);
            Find(name);
            await _store.RemoveAsync(name, cancellationToken);
            lock (_lock)
                Leave(name);
        }
        finally
        {
            _changing.Release();
        }
    }

    public void Dispose()
    {
        _clock.Dispose();
        lock (_lock)
            foreach (var (budget, _) in _budgets.Values)
                budget.Dispose();
        _changing.Dispose();
    }

    /// <summary>Takes a stream under every budget that covers it, also those still to come, until it is disposed of.</summary>
    /// <param name="clusterSize">The stream's smallest useful request, in bytes.</param>
    internal BudgetPass Enter(StreamScope scope, StreamPriority priority, int clusterSize)
    {
        var pass = new BudgetPass(this, scope, priority, clusterSize);
        lock (_lock)
        {
            _passes.Add(pass);
            pass.Follow([.. _budgets.Values.Select(entry => entry.Budget)]);
        }
        return pass;
    }

    internal void Leave(BudgetPass pass)
    {
        lock (_lock)
        {
            _passes.Remove(pass);
            pass.Follow([]);
        }
    }

    private BudgetStatus Describe((Budget Budget, BudgetOrigin Origin) entry) =>
        new(entry.Budget.Definition, entry.Origin, entry.Budget.BytesPerSecond, entry.Budget.Members + _streamsElsewhere.GetValueOrDefault(entry.Budget.Definition.Name));

    private void CheckOrigin(string name)
    {
        lock (_lock)
            if (_budgets.TryGetValue(name, out var found) && found.Origin == BudgetOrigin.Configuration)
                throw new BudgetConfiguredException(name);
    }

    private void Change(Budget budget, BudgetDefinition definition)
    {
        if ((budget.Definition.Scope, budget.Definition.Match) == (definition.Scope, definition.Match))
            budget.Update(definition);
        else
            Enter(definition);
    }

    private void Leave(string name)
    {
        _budgets.Remove(name, out var removed);
        MakePassesFollow();
        removed.Budget.Dispose();
    }

    /// <summary>Adds a budget, in the place of one of the same name.</summary>
    private void Enter(BudgetDefinition definition)
    {
        _budgets.Remove(definition.Name, out var replaced);
        _budgets[definition.Name] = (new Budget(definition, _time), BudgetOrigin.Api);
        MakePassesFollow();
        replaced.Budget?.Dispose();
    }

    private void MakePassesFollow()
    {
        ImmutableArray<Budget> all = [.. _budgets.Values.Select(entry => entry.Budget)];
        foreach (var pass in _passes)
            pass.Follow(all);
    }

    private void FollowClock()
    {
        lock (_lock)
            foreach (var (budget, _) in _budgets.Values)
                budget.Update(budget.Definition);
    }
}

/// <summary>One stream's way through every budget that it is under.</summary>
internal sealed class BudgetPass : IDisposable
{
    private readonly BudgetRegistry _registry;
    private readonly StreamScope _scope;
    private readonly int _clusterSize;
    private ImmutableArray<BudgetMember> _members = [];
    private int _weight;

    public BudgetPass(BudgetRegistry registry, StreamScope scope, StreamPriority priority, int clusterSize)
    {
        _registry = registry;
        _scope = scope;
        _clusterSize = clusterSize;
        _weight = priority.Weight();
    }

    /// <summary>Counts at once, for a request that waits too.</summary>
    public StreamPriority Priority
    {
        set
        {
            Volatile.Write(ref _weight, value.Weight());
            foreach (var member in Members)
                member.SetWeight(value.Weight());
        }
    }

    /// <summary>How many bytes the next request should ask for at the most.</summary>
    public int NextRequestSize
    {
        get
        {
            var size = SectorThrottle.RequestSizeFor(0, _clusterSize);
            foreach (var member in Members)
                size = Math.Min(size, member.NextRequestSize);
            return size;
        }
    }

    private ImmutableArray<BudgetMember> Members => ImmutableInterlocked.InterlockedCompareExchange(ref _members, default, default);

    /// <summary>Each budget on the way, and what of it is this stream's now.</summary>
    public IReadOnlyList<BudgetShare> Shares() => [.. Members.Select(member => member.Share)];

    /// <summary>Returns when every budget has let a request of that size go.</summary>
    public async ValueTask WaitAsync(int bytes, CancellationToken cancellationToken)
    {
        // The widest last: its bound then holds for what really goes out.
        foreach (var member in Members)
            await member.WaitAsync(bytes, cancellationToken);
    }

    public void Dispose() => _registry.Leave(this);

    /// <summary>Joins and leaves so that it is under those of the budgets that cover it. The registry calls it, one at a time.</summary>
    internal void Follow(IReadOnlyCollection<Budget> budgets)
    {
        var before = Members;
        var covering = budgets.Where(budget => budget.Definition.Covers(_scope)).OrderByDescending(budget => budget.Definition.Scope).ToList();
        ImmutableArray<BudgetMember> after =
        [
            .. covering.Select(budget => before.FirstOrDefault(member => member.Budget == budget) ?? budget.Join(Volatile.Read(ref _weight), _clusterSize)),
        ];
        ImmutableInterlocked.InterlockedExchange(ref _members, after);
        foreach (var left in before.Except(after))
            left.Dispose();
    }
}
