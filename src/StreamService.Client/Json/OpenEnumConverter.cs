using System.Collections.Frozen;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace StreamService.Client.Json;

/// <summary>
/// Enums travel as camelCase names. A name that this version does not know is read as the enum's default, <c>Unknown</c>, so that
/// an older client gets on with a newer service.
/// </summary>
internal sealed class OpenEnumConverter : JsonConverterFactory
{
    public override bool CanConvert(Type typeToConvert) => typeToConvert.IsEnum;

    public override JsonConverter CreateConverter(Type typeToConvert, JsonSerializerOptions options) =>
        (JsonConverter)Activator.CreateInstance(typeof(Converter<>).MakeGenericType(typeToConvert))!;

    private sealed class Converter<T> : JsonConverter<T>
        where T : struct, Enum
    {
        public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            reader.TokenType == JsonTokenType.String ? EnumNames.Find<T>(reader.GetString()!) : throw new JsonException($"A {typeof(T).Name} is a string.");

        public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => writer.WriteStringValue(EnumNames.Of(value));

        public override T ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => EnumNames.Find<T>(reader.GetString()!);

        public override void WriteAsPropertyName(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => writer.WritePropertyName(EnumNames.Of(value));
    }
}

/// <summary>The names by which enums travel, in bodies and in queries.</summary>
public static class EnumNames
{
    /// <summary>Those that the service knows.</summary>
    public static IEnumerable<string> All<T>()
        where T : struct, Enum =>
        Enum.GetValues<T>().Where(value => !value.Equals(default(T))).Select(Of);

    /// <summary>The value's name.</summary>
    public static string Of<T>(T value)
        where T : struct, Enum =>
        Table<T>.Names.TryGetValue(value, out var name) ? name : Table<T>.Names[default];

    /// <summary>The value of that name; <c>Unknown</c> where there is none.</summary>
    public static T Find<T>(string name)
        where T : struct, Enum =>
        Table<T>.Values.GetValueOrDefault(name);

    private static class Table<T>
        where T : struct, Enum
    {
        public static readonly FrozenDictionary<string, T> Values = Enum.GetValues<T>().ToFrozenDictionary(value => JsonNamingPolicy.CamelCase.ConvertName(value.ToString()));
        public static readonly FrozenDictionary<T, string> Names = Values.ToFrozenDictionary(pair => pair.Value, pair => pair.Key);
    }
}
