using System.Text.Json.Nodes;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace StreamService.Api;

/// <summary>
/// Gives each call in the OpenAPI document the request and answers that it really had when README, "The API by example", was run last;
/// <c>ReadmeExamplesTests</c> writes them down.
/// </summary>
internal sealed class ApiExamples : IOperationFilter
{
    /// <summary>By operation: <c>request</c>, and <c>responses</c> by status.</summary>
    private static readonly Lazy<JsonObject> All = new(() =>
    {
        using var stream = typeof(ApiExamples).Assembly.GetManifestResourceStream("ApiExamples.json")!;
        return JsonNode.Parse(stream)!.AsObject();
    });

    public void Apply(OpenApiOperation operation, OperationFilterContext context)
    {
        if (operation.OperationId is not { } id || All.Value[id] is not { } example)
            return;
        if (example["request"] is { } request)
            Show(operation.RequestBody?.Content, request);
        foreach (var (status, answer) in example["responses"]!.AsObject())
            if (answer is not null && operation.Responses?.TryGetValue(status, out var response) == true)
                Show(response.Content, answer);
    }

    private static void Show(IDictionary<string, OpenApiMediaType>? content, JsonNode example)
    {
        if (content is null)
            return;
        // The generator lists each success in every form that an answer may have.
        foreach (var (_, form) in content.TryGetValue("application/json", out var json) ? [KeyValuePair.Create("", json)] : content.AsEnumerable())
            form.Example = example.DeepClone();
    }
}
