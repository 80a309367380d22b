using System.Text.Json;
using Microsoft.AspNetCore.Mvc;

namespace StreamService.Api;

/// <summary>Turns the model state's faults into the problem document <c>invalid-request</c>.</summary>
internal static class RequestFaults
{
    public static IActionResult Answer(ActionContext context)
    {
        var errors = context.ModelState
            .Where(entry => entry.Value?.Errors.Count > 0)
            .GroupBy(entry => Name(entry.Key))
            .ToDictionary(
                group => group.Key,
                group => group.SelectMany(entry => entry.Value!.Errors).Select(error => error.ErrorMessage).Distinct().ToArray());
        // A body that could not be read leaves the action's parameter unset; that says nothing that the fault itself does not.
        if (errors.Count > 1)
            errors.Remove("request");
        return new BadRequestObjectResult(StreamProblems.InvalidRequest(errors)) { ContentTypes = { "application/problem+json" } };
    }

    /// <summary>Members are named as the caller wrote them, not as our types are.</summary>
    private static string Name(string key) => string.Join('.', key.Split('.').Select(JsonNamingPolicy.CamelCase.ConvertName));
}
