using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using StreamService.Security;
using StreamService.Streaming.Budgets;

namespace StreamService.Api;

/// <summary>Limits that streams share by their priorities.</summary>
[ApiController]
[Route("budgets")]
public sealed class BudgetsController(BudgetRegistry budgets, Caller caller) : ControllerBase
{
    /// <summary>All budgets, by name: those of the configuration and those of this API.</summary>
    [HttpGet]
    [ProducesResponseType<IReadOnlyList<BudgetView>>(StatusCodes.Status200OK, "application/json")]
    public IReadOnlyList<BudgetView> List() => [.. budgets.List().Where(Sees).Select(BudgetView.From)];

    /// <summary>One budget.</summary>
    /// <param name="name">Its name.</param>
    [HttpGet("{name}")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<BudgetView>(StatusCodes.Status200OK, "application/json")]
    public BudgetView Get(string name) => budgets.Find(name) is var budget && Sees(budget) ? BudgetView.From(budget) : throw new BudgetNotFoundException(name);

    /// <summary>Defines a budget or replaces it, for the streams that run too; in force when this answers.</summary>
    /// <param name="name">1 to 64 letters, digits, '-', '_' or '.'.</param>
    /// <param name="request">What it limits, and to what.</param>
    /// <param name="cancellationToken"></param>
    /// <response code="200">There was one of that name.</response>
    /// <response code="201">It is a new one.</response>
    [HttpPut("{name}")]
    [Authorize(Scopes.Admin)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status413PayloadTooLarge, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status415UnsupportedMediaType, "application/problem+json")]
    [ProducesResponseType<BudgetView>(StatusCodes.Status200OK, "application/json")]
    [ProducesResponseType<BudgetView>(StatusCodes.Status201Created, "application/json")]
    public async Task<IActionResult> PutAsync(string name, [FromBody] BudgetRequest request, CancellationToken cancellationToken)
    {
        var (status, added) = await budgets.PutAsync(request.ToDefinition(name), cancellationToken);
        return added ? Created($"/budgets/{name}", BudgetView.From(status)) : Ok(BudgetView.From(status));
    }

    /// <summary>Ends a budget. Streams that waited for it go on at once.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="cancellationToken"></param>
    [HttpDelete("{name}")]
    [Authorize(Scopes.Admin)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType(StatusCodes.Status204NoContent)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
    public async Task<IActionResult> DeleteAsync(string name, CancellationToken cancellationToken)
    {
        await budgets.RemoveAsync(name, cancellationToken);
        return NoContent();
    }

    private bool Sees(BudgetStatus budget) => budget.Definition.Scope switch
    {
        BudgetScope.Host => caller.Sees(budget.Definition.Match!),
        BudgetScope.Label => caller.Labels.Count == 0 || caller.Labels.Contains(budget.Definition.Match!),
        _ => true,
    };
}
