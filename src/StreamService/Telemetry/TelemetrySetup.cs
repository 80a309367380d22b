using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using StreamService.Configuration;
using StreamService.Security;

namespace StreamService.Telemetry;

/// <summary>Metrics at <c>/metrics</c>, and traces where there is a collector for them.</summary>
internal static class TelemetrySetup
{
    public const string MetricsPath = "/metrics";

    /// <summary>What .NET measures itself: HTTP, the connections of the hub, memory, threads.</summary>
    private static readonly string[] FrameworkMeters = ["Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Http.Connections", "System.Runtime"];

    /// <summary>Requests that machines repeat all the time, and the hub's, which last for hours.</summary>
    private static readonly string[] Untraced = ["/healthz", "/readyz", MetricsPath, "/hubs"];

    public static void AddTelemetry(this IServiceCollection services, IConfiguration configuration, TraceOptions traces)
    {
        services.AddHostedService<ServiceGauges>();
        var telemetry = services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService("streamservice", serviceVersion: typeof(TelemetrySetup).Assembly.GetName().Version!.ToString(3)))
            .WithMetrics(metrics => metrics.AddMeter(ServiceMeter.Name).AddMeter(FrameworkMeters).AddPrometheusExporter(exporter => exporter.ScopeInfoEnabled = false));
        if (!traces.IsConfigured(configuration))
            return;
        telemetry.WithTracing(tracing =>
        {
            tracing.AddSource(Spans.SourceName)
                .AddAspNetCoreInstrumentation(requests => requests.Filter = context => !Untraced.Any(path => context.Request.Path.StartsWithSegments(path)))
                .AddOtlpExporter(exporter =>
                {
                    if (traces.Endpoint.Length > 0)
                        exporter.Endpoint = new Uri(traces.Endpoint);
                });
        });
    }

    /// <summary>Figures of all hosts, so for callers that see all of them.</summary>
    public static void MapMetrics(this WebApplication app) =>
        app.MapPrometheusScrapingEndpoint(MetricsPath).RequireAuthorization(Authentication.AllHostsPolicy);
}
