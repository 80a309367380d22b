using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace StreamService.Tests.Deploy;

/// <summary><c>deploy/compose.yaml</c>, with its anchors and merges resolved.</summary>
internal static class ComposeFile
{
    /// <summary>The folder that holds the solution.</summary>
    public static string Root { get; } = Find();

    public static JsonObject Read()
    {
        using var text = File.OpenText(Path.Combine(Root, "deploy", "compose.yaml"));
        var content = new DeserializerBuilder().WithAttemptingUnquotedStringTypeDeserialization().Build().Deserialize(new MergingParser(new Parser(text)));
        return JsonNode.Parse(new SerializerBuilder().JsonCompatible().Build().Serialize(content))!.AsObject();
    }

    /// <summary>The services that run the service itself.</summary>
    public static IReadOnlyDictionary<string, JsonObject> Replicas(JsonObject compose) => compose["services"]!.AsObject()
        .Where(service => service.Value!["environment"] is JsonObject environment && environment.Any(variable => variable.Key.StartsWith("StreamService__", StringComparison.Ordinal)))
        .ToDictionary(service => service.Key, service => service.Value!.AsObject());

    public static Dictionary<string, string> Environment(JsonObject service) =>
        service["environment"]!.AsObject().ToDictionary(variable => variable.Key, variable => variable.Value!.ToString());

    private static string Find()
    {
        for (var folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
            if (File.Exists(Path.Combine(folder, "StreamService.sln")))
                return folder;
        throw new InvalidOperationException("The tests do not run inside the source tree.");
    }
}
