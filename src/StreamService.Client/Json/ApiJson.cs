using System.Text.Json;
using System.Text.Json.Serialization;

namespace StreamService.Client.Json;

/// <summary>JSON as the service speaks it.</summary>
public static class ApiJson
{
    /// <summary>camelCase; members without a value are left out; unknown members are kept, unknown names of enums read as <c>Unknown</c>.</summary>
    public static JsonSerializerOptions Options { get; } = Create();

    private static JsonSerializerOptions Create()
    {
        var options = new JsonSerializerOptions();
        Configure(options);
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }

    internal static void Configure(JsonSerializerOptions options)
    {
        options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.Converters.Add(new OpenEnumConverter());
    }
}
