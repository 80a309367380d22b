namespace StreamService.Client;

public sealed partial class StreamServiceClient
{
    /// <summary>All budgets, by name.</summary>
    public Task<IReadOnlyList<Budget>> GetBudgetsAsync(CancellationToken cancellationToken = default) =>
        _api.GetAsync<IReadOnlyList<Budget>>(Address.Of("budgets"), cancellationToken);

    /// <summary>One budget.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Budget> GetBudgetAsync(string name, CancellationToken cancellationToken = default) =>
        _api.GetAsync<Budget>(Address.Of("budgets", name), cancellationToken);

    /// <summary>Defines a budget or replaces it; in force when this answers.</summary>
    /// <param name="name">1 to 64 letters, digits, '-', '_' or '.'.</param>
    /// <param name="budget">What it limits, and to what.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Budget> PutBudgetAsync(string name, BudgetDefinition budget, CancellationToken cancellationToken = default) =>
        _api.SendAsync<Budget>(HttpMethod.Put, Address.Of("budgets", name), budget, cancellationToken);

    /// <summary>Ends a budget.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task DeleteBudgetAsync(string name, CancellationToken cancellationToken = default) =>
        _api.SendAsync(HttpMethod.Delete, Address.Of("budgets", name), cancellationToken);
}
