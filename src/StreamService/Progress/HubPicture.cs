using System.Text.Json;
using System.Text.Json.Serialization;

namespace StreamService.Progress;

/// <summary>JSON that was written once, for however many connections it goes to.</summary>
[JsonConverter(typeof(Converter))]
public sealed class WrittenJson
{
    private readonly byte[] _utf8;

    private WrittenJson(byte[] utf8) => _utf8 = utf8;

    public static WrittenJson Of<T>(T value, JsonSerializerOptions options) => new(JsonSerializer.SerializeToUtf8Bytes(value, options));

    private sealed class Converter : JsonConverter<WrittenJson>
    {
        public override WrittenJson Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException("It is only written.");

        public override void Write(Utf8JsonWriter writer, WrittenJson value, JsonSerializerOptions options) => writer.WriteRawValue(value._utf8, skipInputValidation: true);
    }
}

/// <summary>A picture of a stream or a migration on its way to the connections of the hub.</summary>
/// <param name="Of">The stream's or migration's id.</param>
/// <param name="AtOnce">It is more than progress: every connection gets it. Of progress that a connection is not ready for it gets the latest.</param>
/// <param name="Send">Sends it to one.</param>
internal sealed record HubPicture(Guid Of, bool AtOnce, Func<IStreamClient, Task> Send);
