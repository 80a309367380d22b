using Microsoft.AspNetCore.Mvc;
using StreamService.Security;

namespace StreamService.Api;

/// <summary>Turns the model state's faults into the problem document <c>invalid-request</c>.</summary>
internal static class RequestFaults
{
    public static IActionResult Answer(ActionContext context)
    {
        var errors = context.ModelState
            .Where(entry => entry.Value?.Errors.Count > 0)
            .ToDictionary(
                entry => entry.Key,
                entry => entry.Value!.Errors.Select(error => error.ErrorMessage).Distinct().ToArray());
        // A body that could not be read leaves the action's parameter unset; that says nothing that the fault itself does not.
        if (errors.Count > 1)
            errors.Remove("request");
        Audit.SetCode(context.HttpContext, "invalid-request");
        return new BadRequestObjectResult(StreamProblems.InvalidRequest(errors)) { ContentTypes = { "application/problem+json" } };
    }
}
