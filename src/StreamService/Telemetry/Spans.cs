using System.Diagnostics;
using StreamService.Streaming;

namespace StreamService.Telemetry;

/// <summary>
/// The spans of a stream: <c>POST …/stream</c> → <c>stream.start</c> → <c>stream.job</c> → <c>stream.run</c> → <c>stream.map</c>,
/// <c>stream.populate</c>, <c>stream.flush</c>, <c>stream.finalize</c>. Where nobody listens there are none, and none is made.
/// </summary>
internal static class Spans
{
    public const string SourceName = "StreamService";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>Something that happens within what is under way.</summary>
    public static Activity? Begin(string name) => Source.StartActivity(name);

    /// <summary>The life of a job within this service: in the trace of the request that began it, also after a restart.</summary>
    public static Activity? BeginJob(StreamStatus status)
    {
        ActivityContext.TryParse(status.TraceParent, traceState: null, isRemote: true, out var request);
        var span = Source.StartActivity("stream.job", ActivityKind.Internal, request);
        return span?.Of(status.Disk).SetTag("streamservice.stream", status.StreamId).SetTag("streamservice.size", status.Size);
    }

    /// <summary>Says which disk a span is about.</summary>
    public static Activity Of(this Activity span, DiskAddress disk) =>
        span.SetTag("streamservice.host", disk.Host).SetTag("streamservice.domain", disk.Domain).SetTag("streamservice.disk", disk.Target);

    /// <summary>Says what went wrong.</summary>
    public static void Fail(this Activity? span, string reason) => span?.SetStatus(ActivityStatusCode.Error, reason);
}

/// <summary>What is populated between two checkpoints, as one span: single requests come by the thousand.</summary>
/// <param name="populated">Bytes so far.</param>
internal sealed class BatchSpans(Func<long> populated) : IDisposable
{
    private readonly Activity? _around = Activity.Current;
    private Activity? _span;
    private long _from;

    /// <summary>Ends one batch and begins the next.</summary>
    public void Next()
    {
        Dispose();
        _from = populated();
        _span = Spans.Begin("stream.populate");
        // What else goes on is beside the batch, not in it.
        Activity.Current = _around;
    }

    public void Dispose()
    {
        if (_span is null)
            return;
        _span.SetTag("streamservice.bytes", populated() - _from);
        _span.Dispose();
        _span = null;
        Activity.Current = _around;
    }
}
