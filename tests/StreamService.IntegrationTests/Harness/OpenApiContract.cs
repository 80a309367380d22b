using System.Text.Json.Nodes;
using NJsonSchema;

namespace StreamService.IntegrationTests.Harness;

/// <summary>
/// Holds every answer that passes through it against the checked-in OpenAPI document: the call, the status and the body
/// must be documented there. So no test can see an answer that the document does not know.
/// </summary>
internal sealed class OpenApiContract(HttpMessageHandler transport) : DelegatingHandler(transport)
{
    /// <summary>Calls beside the API itself.</summary>
    private static readonly string[] Undocumented = ["/healthz", "/readyz", "/metrics", "/openapi/", "/swagger", "/hubs/"];

    internal static readonly Lazy<JsonObject> Document = new(() =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(Repository.Root, "openapi", "streamservice.v1.json")))!.AsObject());

    private static readonly System.Collections.Concurrent.ConcurrentDictionary<string, Task<JsonSchema>> Schemas = new();

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken);
        if (IsUndocumented(request.RequestUri!.AbsolutePath))
            return response;
        await response.Content.LoadIntoBufferAsync(cancellationToken);
        await AssertAsync(request.Method.Method, request.RequestUri!.AbsolutePath, (int)response.StatusCode,
            response.Content.Headers.ContentType?.MediaType, await response.Content.ReadAsStringAsync(cancellationToken));
        return response;
    }

    /// <summary>Expects an answer, however it came, to be documented.</summary>
    /// <returns>The documented call; null where the path is none of the API's, or has no such method.</returns>
    public static async Task<JsonObject?> AssertAsync(string method, string path, int code, string? mediaType, string body)
    {
        if (IsUndocumented(path) || FindPath(path) is not { } documented)
            return null;
        // A method that the path does not have is answered 405, which no document lists.
        if (documented[method.ToLowerInvariant()] is not JsonObject operation)
            return null;
        var status = code.ToString(System.Globalization.CultureInfo.InvariantCulture);
        var answer = operation["responses"]![status];
        Assert.True(answer is not null, $"{method} {path} answered {status}, which the OpenAPI document does not list: {body}");
        if (answer["content"] is not JsonObject content)
            return operation;
        Assert.True(content[mediaType ?? ""] is not null, $"{method} {path} answered {status} as {mediaType}, which the OpenAPI document does not list.");
        var faults = (await SchemaAsync(content[mediaType ?? ""]!["schema"]!)).Validate(body);
        Assert.True(faults.Count == 0, $"{method} {path} answered {status} {body}, which is not what the OpenAPI document says: {string.Join("; ", faults)}");
        return operation;
    }

    private static bool IsUndocumented(string path) => path == "/" || Undocumented.Any(prefix => path.StartsWith(prefix, StringComparison.Ordinal));

    private static JsonObject? FindPath(string path)
    {
        var segments = path.Split('/');
        foreach (var (template, item) in Document.Value["paths"]!.AsObject())
        {
            var parts = template.Split('/');
            if (parts.Length == segments.Length && parts.Zip(segments).All(pair => pair.First.StartsWith('{') || pair.First == pair.Second))
                return item!.AsObject();
        }
        return null;
    }

    /// <summary>What the schema of a request's body finds wrong with this one.</summary>
    public static async Task<IReadOnlyList<string>> FaultsAsync(JsonObject schema, string body)
    {
        var held = await SchemaAsync(schema);
        try
        {
            return [.. held.Validate(body).Select(fault => fault.ToString())];
        }
        catch (Exception unreadable) when (unreadable is Newtonsoft.Json.JsonReaderException or InvalidCastException or OverflowException)
        {
            // Numbers beyond 64 bits, and depths: no schema of ours allows them, and the validator trips over them.
            return [unreadable.Message];
        }
    }

    private static Task<JsonSchema> SchemaAsync(JsonNode schema) => Schemas.GetOrAdd(schema.ToJsonString(), json =>
    {
        var whole = new JsonObject
        {
            ["allOf"] = new JsonArray(JsonNode.Parse(json)),
            ["definitions"] = Document.Value["components"]!["schemas"]!.DeepClone(),
        };
        return JsonSchema.FromJsonAsync(whole.ToJsonString().Replace("#/components/schemas/", "#/definitions/", StringComparison.Ordinal));
    });
}
