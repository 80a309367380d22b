using System.Text.Json;
using System.Text.Json.Serialization;

namespace StreamService;

/// <summary>Enums travel as camelCase names, never as numbers.</summary>
public sealed class CamelCaseEnumConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.CamelCase, allowIntegerValues: false)
    where T : struct, Enum;
