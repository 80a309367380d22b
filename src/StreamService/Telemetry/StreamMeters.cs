using System.Diagnostics.Metrics;
using System.Text.Json;
using StreamService.Streaming;

namespace StreamService.Telemetry;

/// <summary>What streams on one host measure. A stream sends thousands of requests a second: each costs one histogram's sample.</summary>
internal sealed class StreamMeters(string host)
{
    private static readonly Histogram<double> PopulateTime = ServiceMeter.Seconds("streamservice.populate.duration", "Time of each request that populates a piece of an overlay.");
    private static readonly Histogram<double> FlushTime = ServiceMeter.Seconds("streamservice.flush.duration", "Time of each flush that makes what was populated durable.");
    private static readonly Histogram<double> GuestTime = ServiceMeter.Seconds("streamservice.guest.latency", "Mean latency of a guest's reads and writes between two looks at it, ten a second for each stream beside a guest at work.");
    private static readonly Counter<long> Populated = ServiceMeter.Meter.CreateCounter<long>("streamservice.populated", "By", "Bytes that streams and single steps brought into overlays.");
    private static readonly Counter<long> Durable = ServiceMeter.Meter.CreateCounter<long>("streamservice.durable", "By", "Bytes of full streams that a flush has put on stable storage.");
    private static readonly Counter<long> States = ServiceMeter.Meter.CreateCounter<long>("streamservice.stream.transitions", unit: null, "States that streams entered.");
    private static readonly Counter<long> Retries = ServiceMeter.Meter.CreateCounter<long>("streamservice.stream.retries", unit: null, "Attempts of streams that failed and are made again, by the fault's code.");
    private static readonly Counter<long> Unrecorded = ServiceMeter.Meter.CreateCounter<long>("streamservice.record.failures", unit: null, "Records of streams that could not be written.");

    private readonly KeyValuePair<string, object?> _host = new(ServiceMeter.Host, host);
    private readonly KeyValuePair<string, object?> _full = new("mode", "full");
    private readonly KeyValuePair<string, object?> _single = new("mode", "single");

    /// <summary>A request was answered.</summary>
    public void Took(TimeSpan time) => PopulateTime.Record(time.TotalSeconds, _host);

    public void Flushed(TimeSpan time) => FlushTime.Record(time.TotalSeconds, _host);

    /// <summary>The guest was looked at.</summary>
    /// <param name="isOver">Whether its latency, smoothed, is over what the stream is to keep it under.</param>
    public void GuestFelt(TimeSpan mean, bool isOver) => GuestTime.Record(mean.TotalSeconds, _host, new("over_target", isOver ? "true" : "false"));

    /// <summary>A full stream went on by so much.</summary>
    public void WentOn(long populated, long durable)
    {
        if (populated > 0)
            Populated.Add(populated, _host, _full);
        if (durable > 0)
            Durable.Add(durable, _host);
    }

    public void Stepped(long populated) => Populated.Add(populated, _host, _single);

    public void Entered(StreamState state) => States.Add(1, _host, StateOf(state));

    public void Retried(string code) => Retries.Add(1, _host, new("code", code));

    public static void RecordFailed() => Unrecorded.Add(1);

    /// <summary>Shows all counters from the start, at zero: an increase from nothing is none to Prometheus.</summary>
    public void Begin()
    {
        Populated.Add(0, _host, _full);
        Populated.Add(0, _host, _single);
        Durable.Add(0, _host);
        foreach (var state in Enum.GetValues<StreamState>().Where(state => state != StreamState.Idle))
            States.Add(0, _host, StateOf(state));
        foreach (var code in StreamFaults.PassingCodes)
            Retries.Add(0, _host, new("code", code));
        Unrecorded.Add(0);
    }

    internal static KeyValuePair<string, object?> StateOf<T>(T state) where T : struct, Enum => new("state", JsonNamingPolicy.CamelCase.ConvertName(state.ToString()));
}
