using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Mvc.Formatters;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.Net.Http.Headers;

namespace StreamService.Api;

/// <summary>
/// Reads a JSON request body and reports every fault in it at once: unknown and repeated members, missing ones, wrong types
/// and values. The framework's own reader stops at the first.
/// </summary>
public sealed class StrictJsonInputFormatter : TextInputFormatter
{
    private readonly JsonSerializerOptions _options;

    public StrictJsonInputFormatter(JsonSerializerOptions options)
    {
        _options = options;
        SupportedMediaTypes.Add(MediaTypeHeaderValue.Parse("application/json"));
        SupportedEncodings.Add(UTF8EncodingWithoutBOM);
    }

    /// <remarks>
    /// The framework takes <c>application/problem+json</c> for a kind of <c>application/json</c>; and its choice of the encoding trips over
    /// a type that ends with <c>charset=</c>.
    /// </remarks>
    public override bool CanRead(InputFormatterContext context) =>
        MediaTypeHeaderValue.TryParse(context.HttpContext.Request.ContentType, out var type)
        && !type.Suffix.HasValue && type.Parameters.All(parameter => parameter.Value.Length > 0) && base.CanRead(context);

    public override async Task<InputFormatterResult> ReadRequestBodyAsync(InputFormatterContext context, Encoding encoding)
    {
        try
        {
            using var document = await JsonDocument.ParseAsync(context.HttpContext.Request.Body,
                new JsonDocumentOptions { MaxDepth = 16 }, context.HttpContext.RequestAborted);
            // With faults in the model state the model is still returned: so its own validation adds what it finds.
            var model = Read(document.RootElement, context.ModelType, prefix: "", context.ModelState);
            return model is null ? await InputFormatterResult.FailureAsync() : await InputFormatterResult.SuccessAsync(model);
        }
        catch (JsonException exception)
        {
            context.ModelState.AddModelError("", $"The body is not valid JSON: {exception.Message}");
            return await InputFormatterResult.FailureAsync();
        }
        catch (InvalidOperationException)
        {
            // An escaped half of a surrogate pair passes for JSON until its text is asked for.
            context.ModelState.AddModelError("", "The body holds text that is not valid Unicode.");
            return await InputFormatterResult.FailureAsync();
        }
    }

    private object? Read(JsonElement element, Type type, string prefix, ModelStateDictionary faults)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            faults.AddModelError(prefix, $"must be a JSON object, not {Kind(element)}.");
            return null;
        }
        var contract = _options.GetTypeInfo(type);
        var model = contract.CreateObject!();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in element.EnumerateObject())
        {
            var name = prefix.Length == 0 ? member.Name : $"{prefix}.{member.Name}";
            if (!seen.Add(member.Name))
                faults.AddModelError(name, "is given more than once.");
            else if (contract.Properties.FirstOrDefault(property => property.Name == member.Name) is not { Set: { } set } property)
                faults.AddModelError(name, "is not a member of this request.");
            else
                ReadMember(member.Value, property, set, model, name, faults);
        }
        return model;
    }

    private void ReadMember(JsonElement value, JsonPropertyInfo property, Action<object, object?> set, object model, string name, ModelStateDictionary faults)
    {
        var type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        if (value.ValueKind == JsonValueKind.Null)
        {
            if (property.IsSetNullable)
                set(model, null);
            else
                faults.AddModelError(name, "must not be null.");
        }
        else if (type.IsEnum)
        {
            if (value.ValueKind == JsonValueKind.String && EnumNames.Find(type, value.ValueEquals) is { } member)
                set(model, member);
            else
                faults.AddModelError(name, EnumNames.Fault(type, Show(value)));
        }
        else if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(List<>))
        {
            if (ReadList(value, type, name, faults) is { } list)
                set(model, list);
        }
        else if (type.IsClass && type != typeof(string))
        {
            if (Read(value, type, name, faults) is { } nested)
                set(model, nested);
        }
        else
        {
            try
            {
                set(model, value.Deserialize(type, _options));
            }
            catch (JsonException)
            {
                faults.AddModelError(name, $"must be {Describe(type)}; was {Show(value)}.");
            }
        }
    }

    private System.Collections.IList? ReadList(JsonElement value, Type type, string name, ModelStateDictionary faults)
    {
        if (value.ValueKind != JsonValueKind.Array)
        {
            faults.AddModelError(name, $"must be a JSON array, not {Kind(value)}.");
            return null;
        }
        var list = (System.Collections.IList)Activator.CreateInstance(type)!;
        foreach (var element in value.EnumerateArray())
            if (Read(element, type.GetGenericArguments()[0], $"{name}.{list.Count}", faults) is { } item)
                list.Add(item);
        return list;
    }

    private static string Describe(Type type) =>
        type == typeof(long) || type == typeof(int) ? "a whole number"
        : type == typeof(double) ? "a number"
        : type == typeof(string) ? "a string"
        : type == typeof(bool) ? "true or false"
        : type.Name;

    private static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.Null => "null",
        _ => "a boolean",
    };

    private static string Show(JsonElement value)
    {
        var text = value.GetRawText();
        return text.Length <= 64 ? text : text[..64] + "…";
    }
}
