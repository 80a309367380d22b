using System.Text.Json;
using System.Text.Json.Serialization;

namespace StreamService.Client;

/// <summary>What the service tells. Members that it leaves out have their defaults.</summary>
public abstract record ApiRecord
{
    /// <summary>Members that this version of the library does not know; null where there are none.</summary>
    [JsonExtensionData]
    public IDictionary<string, JsonElement>? Other { get; set; }
}

/// <summary>A problem document (RFC 9457).</summary>
public sealed record Problem : ApiRecord
{
    /// <summary>What kind of problem it is, in one word, for programs.</summary>
    public string Code { get; init; } = "";

    /// <summary>A URI that ends in the code.</summary>
    public string Type { get; init; } = "";

    /// <summary>The kind in a sentence.</summary>
    public string Title { get; init; } = "";

    /// <summary>This very problem.</summary>
    public string? Detail { get; init; }

    /// <summary>The HTTP status; null in the error of a stream.</summary>
    public int? Status { get; init; }

    /// <summary>Every fault, by the member that has it.</summary>
    [JsonConverter(typeof(FaultsConverter))]
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Errors { get; init; } = new Dictionary<string, IReadOnlyList<string>>();

    /// <summary>stream-active, migration-active: where that one's status is.</summary>
    public string? StatusUrl { get; init; }

    /// <summary>hypervisor-error: QEMU's or libvirt's class of error.</summary>
    public string? ErrorClass { get; init; }

    /// <summary>Finds the request in the service's log.</summary>
    public string? TraceId { get; init; }

    /// <summary>Faults of any shape are no reason to lose the problem.</summary>
    private sealed class FaultsConverter : JsonConverter<IReadOnlyDictionary<string, IReadOnlyList<string>>>
    {
        public override IReadOnlyDictionary<string, IReadOnlyList<string>> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            var errors = JsonElement.ParseValue(ref reader);
            return errors.ValueKind switch
            {
                JsonValueKind.Object => errors.EnumerateObject().ToDictionary(member => member.Name, member => Texts(member.Value)),
                JsonValueKind.Null => new Dictionary<string, IReadOnlyList<string>>(),
                _ => new Dictionary<string, IReadOnlyList<string>> { [""] = Texts(errors) },
            };
        }

        public override void Write(Utf8JsonWriter writer, IReadOnlyDictionary<string, IReadOnlyList<string>> value, JsonSerializerOptions options) =>
            JsonSerializer.Serialize(writer, value.ToDictionary(), options);

        private static IReadOnlyList<string> Texts(JsonElement value) =>
            value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray().Select(item => item.ToString())] : [value.ToString()];
    }
}
