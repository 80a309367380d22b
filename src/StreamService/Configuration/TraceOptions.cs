namespace StreamService.Configuration;

/// <summary>Where traces go: <c>StreamService:Traces</c>. With nothing configured there are none.</summary>
public sealed class TraceOptions
{
    /// <summary>The variables by which OpenTelemetry itself is told.</summary>
    private static readonly string[] Variables = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

    /// <summary>An OpenTelemetry collector that takes OTLP. Default: <c>OTEL_EXPORTER_OTLP_ENDPOINT</c>, whose other variables hold too.</summary>
    public string Endpoint { get; set; } = "";

    /// <summary>Whether anybody wants traces.</summary>
    internal bool IsConfigured(IConfiguration configuration) => Endpoint.Length > 0 || Variables.Any(name => !string.IsNullOrEmpty(configuration[name]));

    internal IEnumerable<string> Faults()
    {
        if (Endpoint.Length > 0 && (!Uri.TryCreate(Endpoint, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https")))
            yield return $"StreamService:Traces:{nameof(Endpoint)} '{Endpoint}' is not an http or https URL.";
    }
}
