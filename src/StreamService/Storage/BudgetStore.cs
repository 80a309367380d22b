using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using StreamService.Streaming.Budgets;

namespace StreamService.Storage;

/// <summary>One budget that the API defined.</summary>
public sealed class BudgetRecord
{
    public required string Name { get; init; }
    public required BudgetScope Scope { get; set; }
    public required string? Match { get; set; }
    public required long BytesPerSecond { get; set; }

    /// <summary>The time windows, as JSON: they are only ever read together.</summary>
    public required string Windows { get; set; }
}

/// <summary>Keeps the budgets that the API defined.</summary>
public sealed class BudgetStore(IDbContextFactory<StreamDbContext> contexts, DatabaseSignals signals)
{
    /// <summary>Told when a budget has changed.</summary>
    public const string Topic = "budgets";

    public async Task<IReadOnlyList<BudgetDefinition>> ListAsync(CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var records = await context.Budgets.AsNoTracking().OrderBy(record => record.Name).ToListAsync(cancellationToken);
        return [.. records.Select(record => new BudgetDefinition(
            record.Name,
            record.Scope,
            record.Match,
            record.BytesPerSecond,
            JsonSerializer.Deserialize<List<BudgetWindow>>(record.Windows) ?? []))];
    }

    /// <summary>Adds it, or replaces the one of that name.</summary>
    public async Task PutAsync(BudgetDefinition definition, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        var windows = JsonSerializer.Serialize(definition.Windows);
        if (await context.Budgets.FindAsync([definition.Name], cancellationToken) is { } record)
            (record.Scope, record.Match, record.BytesPerSecond, record.Windows) = (definition.Scope, definition.Match, definition.BytesPerSecond, windows);
        else
            context.Budgets.Add(new BudgetRecord
            {
                Name = definition.Name,
                Scope = definition.Scope,
                Match = definition.Match,
                BytesPerSecond = definition.BytesPerSecond,
                Windows = windows,
            });
        await context.SaveChangesAsync(cancellationToken);
        await signals.NotifyAsync(context, Topic, definition.Name, cancellationToken);
    }

    public async Task RemoveAsync(string name, CancellationToken cancellationToken)
    {
        await using var context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Budgets.Where(record => record.Name == name).ExecuteDeleteAsync(cancellationToken);
        await signals.NotifyAsync(context, Topic, name, cancellationToken);
    }
}
