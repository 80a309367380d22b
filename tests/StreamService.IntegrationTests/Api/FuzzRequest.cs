using System.Text;
using System.Text.Json.Nodes;

namespace StreamService.IntegrationTests.Api;

/// <summary>How far a request gets, and so what its answer is held against.</summary>
internal enum FuzzReach
{
    /// <summary>To an operation of the OpenAPI document, which says what may be answered.</summary>
    Operation,

    /// <summary>To no operation, or to another than it was made from: <c>..</c> in a path is resolved before it is routed.</summary>
    Elsewhere,

    /// <summary>The web server itself refuses it, before the service sees it: then there is no problem document.</summary>
    WebServer,
}

/// <summary>One request of the fuzzer, as it goes over the wire.</summary>
/// <param name="Target">Path and query, not normalized.</param>
/// <param name="Schema">Of the operation's body; null where it has none.</param>
internal sealed record FuzzRequest(string Method, string Target, JsonObject? Schema)
{
    public byte[]? Body { get; set; }

    public string? ContentType { get; set; }

    public bool Chunked { get; init; }

    /// <summary>Values in bytes: a header need not be text.</summary>
    public List<(string Name, byte[] Value)> Headers { get; } = [];

    public FuzzReach Reach { get; set; }

    /// <summary>Why it must not be answered with success; null where that may be.</summary>
    public string? MustFail { get; set; }

    public HttpRequestMessage ToMessage(Uri service)
    {
        var target = new Uri(service.ToString().TrimEnd('/') + Target, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });
        var message = new HttpRequestMessage(new HttpMethod(Method), target);
        // Of the body's own headers the client library wants to know with the body.
        foreach (var (name, value) in Headers.Where(header => !header.Name.StartsWith("Content-", StringComparison.Ordinal)))
            message.Headers.TryAddWithoutValidation(name, Encoding.Latin1.GetString(value));
        if (Body is not null)
        {
            message.Content = new ByteArrayContent(Body);
            if (ContentType is not null)
                message.Content.Headers.TryAddWithoutValidation("Content-Type", ContentType);
            foreach (var (name, value) in Headers.Where(header => header.Name.StartsWith("Content-", StringComparison.Ordinal)))
                message.Content.Headers.TryAddWithoutValidation(name, Encoding.Latin1.GetString(value));
            message.Headers.TransferEncodingChunked = Chunked ? true : null;
        }
        return message;
    }

    /// <summary>As a person would repeat it.</summary>
    public override string ToString()
    {
        var text = new StringBuilder($"{Method} {Short(Encoding.UTF8.GetBytes(Target))}");
        foreach (var (name, value) in Headers)
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"\n{name}: {Short(value)}");
        if (Body is not null)
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"\nContent-Type: {ContentType}{(Chunked ? " (chunked)" : "")}\n\n{Short(Body)}");
        return text.ToString();
    }

    private static string Short(byte[] bytes)
    {
        const int enough = 2000;
        var text = new StringBuilder();
        foreach (var value in bytes.Take(enough))
            text.Append(value is >= (byte)' ' and <= (byte)'~' ? ((char)value).ToString() : $"\\x{value:x2}");
        return bytes.Length <= enough ? text.ToString() : $"{text}… ({bytes.Length} bytes)";
    }
}
