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

    /// <summary>A command with an id, as it goes over the wire.</summary>
    internal static byte[] Bytes(string command, JsonObject? arguments, long id)
    {
        var message = new JsonObject { ["execute"] = command, ["id"] = id };
        if (arguments is not null)
            message["arguments"] = arguments.DeepClone();
        return [.. JsonSerializer.SerializeToUtf8Bytes(message), (byte)'\n'];
    }

    /// <summary>Parses a message.</summary>
    /// <exception cref="QmpException">It is not JSON.</exception>
    internal static JsonDocument Parse(ReadOnlyMemory<byte> line)
    {
        try
        {
            return JsonDocument.Parse(line, DocumentOptions);
        }
        catch (JsonException e)
        {
            throw new QmpException($"The monitor sent a line that is not JSON: {e.Message}", e);
        }
    }

    /// <summary>Reads the first message of a monitor.</summary>
    /// <exception cref="QmpException">It is no greeting.</exception>
    internal static QmpGreeting Greeting(ReadOnlyMemory<byte> line)
    {
        using var document = Parse(line);
        if (document.RootElement is { ValueKind: JsonValueKind.Object } root
            && root.TryGetProperty("QMP", out var qmp) && qmp.ValueKind == JsonValueKind.Object
            && qmp.TryGetProperty("version", out var version) && version.ValueKind == JsonValueKind.Object
            && version.TryGetProperty("qemu", out var qemu) && qemu.ValueKind == JsonValueKind.Object)
            return new QmpGreeting(new Version(Number(qemu, "major"), Number(qemu, "minor"), Number(qemu, "micro")), Text(version, "package"));
        throw new QmpException($"What listens there is no QMP monitor; it said: {Excerpt(document.RootElement)}");
    }

    /// <summary>The event that a message is; null for any other.</summary>
    internal static QmpEvent? Event(JsonElement message) =>
        message.ValueKind == JsonValueKind.Object && message.TryGetProperty("event", out var name) && name.ValueKind == JsonValueKind.String
            ? new QmpEvent(name.GetString()!, message.TryGetProperty("data", out var data) ? data.Clone() : default)
            : null;

    /// <summary>The beginning of a message, for people.</summary>
    internal static string Excerpt(JsonElement message) => message.GetRawText() is { Length: > 200 } text ? $"{text[..200]}…" : message.GetRawText();

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
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The latter: text that is not Unicode, which passes for JSON until it is asked for.
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
        var read = Understand(command, () => result.Deserialize<T>(SerializerOptions)) ?? throw new QmpException($"{command}: the result is null.");
        // The serializer heeds what must not be null, but for the items of lists.
        var lists = read is BlockGraph graph ? [graph.Nodes, graph.Edges] : new[] { read as IEnumerable<object?> };
        return lists.Any(list => list?.Contains(null) == true) ? throw new QmpException($"{command}: the result has null in a list.") : read;
    }

    /// <summary>Reads what a monitor sent.</summary>
    /// <exception cref="QmpException">Something is of another type, or is text that is not Unicode.</exception>
    internal static T Understand<T>(string command, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new QmpException($"{command}: the result is not understood: {e.Message}", e);
        }
    }

    private static int Number(JsonElement version, string member) =>
        version.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= 0
            ? number
            : 0;

    private static string Text(JsonElement error, string member) =>
        error.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString() ?? ""
            : "";
}
