using System.Text.Json;
using System.Text.Json.Nodes;

namespace StreamService.Qemu.Qmp;

/// <summary>QMP's messages (docs/interop/qmp-spec of QEMU) as text.</summary>
public static class QmpMessage
{
    /// <summary>A backing chain is one object inside the other: .NET's limit of 64 would end at some 60 layers.</summary>
    private const int MaxDepth = 1024;

    private static readonly JsonDocumentOptions DocumentOptions = new() { MaxDepth = MaxDepth };

    private static readonly JsonSerializerOptions SerializerOptions = new()
    {
        MaxDepth = MaxDepth,
        PropertyNamingPolicy = JsonNamingPolicy.KebabCaseLower,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    /// <summary>The text of a command without an id.</summary>
    public static string Command(string command, JsonObject? arguments)
    {
        var message = new JsonObject { ["execute"] = command };
        if (arguments is not null)
            message["arguments"] = arguments.DeepClone();
        return message.ToJsonString();
    }

    /// <summary>Takes an answer apart.</summary>
    /// <exception cref="QmpCommandException">It is a refusal.</exception>
    /// <exception cref="QmpException">It is no answer.</exception>
    public static JsonElement Result(string command, string answer)
    {
        try
        {
            using var document = JsonDocument.Parse(answer, DocumentOptions);
            return Result(command, document.RootElement).Clone();
        }
        catch (JsonException e)
        {
            throw new QmpException($"{command}: the answer is not JSON: {e.Message}", e);
        }
    }

    /// <inheritdoc cref="Result(string, string)"/>
    public static JsonElement Result(string command, JsonElement answer)
    {
        if (answer.ValueKind == JsonValueKind.Object)
        {
            if (answer.TryGetProperty("return", out var result))
                return result;
            if (answer.TryGetProperty("error", out var error) && error.ValueKind == JsonValueKind.Object)
                throw new QmpCommandException(command, Text(error, "class"), Text(error, "desc"));
        }

        throw new QmpException($"{command}: the answer has neither \"return\" nor \"error\".");
    }

    /// <summary>Reads a result into its type.</summary>
    /// <exception cref="QmpException">A member is missing or of another type.</exception>
    internal static T Read<T>(string command, JsonElement result)
    {
        try
        {
            return result.Deserialize<T>(SerializerOptions)
                ?? throw new QmpException($"{command}: the result is null.");
        }
        catch (JsonException e)
        {
            throw new QmpException($"{command}: the result is not understood: {e.Message}", e);
        }
    }

    private static string Text(JsonElement error, string member) =>
        error.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString() ?? ""
            : "";
}
