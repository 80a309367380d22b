using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Progress;

/// <summary>A state that a stream entered.</summary>
/// <param name="Reason">Why it waits, for its turn or for what is missing.</param>
/// <param name="Error">The fault that it waits out, or why it failed, as a problem document.</param>
/// <param name="Generation">Of the status with that state.</param>
public sealed record StreamEventView(DateTimeOffset Time, StreamState State, string? Reason, StreamProblem? Error, long Generation)
{
    public static StreamEventView From(EventRecord record)
    {
        var state = Enum.Parse<StreamState>(record.State);
        return new StreamEventView(
            record.Time,
            state,
            record.Reason,
            record.ErrorCode is null ? null : StreamProblem.From(new StreamError(record.ErrorCode, record.ErrorDetail ?? ""), state == StreamState.Failed ? "The stream failed." : "The stream was held up."),
            record.Generation);
    }
}
