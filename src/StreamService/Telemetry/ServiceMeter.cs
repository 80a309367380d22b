using System.Diagnostics.Metrics;

namespace StreamService.Telemetry;

/// <summary>The meter of all that the service measures itself. Names are OpenTelemetry's; <c>/metrics</c> has them as Prometheus wants them.</summary>
/// <remarks>No label has more values than there are hosts, budgets or webhooks: streams come and go by the thousand.</remarks>
internal static class ServiceMeter
{
    public const string Name = "StreamService";

    public static readonly Meter Meter = new(Name);

    /// <summary>The label of a host's figures.</summary>
    public const string Host = "host";

    /// <summary>In seconds, for what takes from a tenth of a millisecond, a request to a local file, to tens of seconds, a source that hangs.</summary>
    public static Histogram<double> Seconds(string name, string description) => Meter.CreateHistogram(name, "s", description, tags: null, new InstrumentAdvice<double>
    {
        HistogramBucketBoundaries = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    });
}
