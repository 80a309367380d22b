namespace StreamService.Streaming;

/// <summary>What the streaming layer writes to the log. Lines of a job carry its stream id and domain as properties.</summary>
internal static partial class StreamLog
{
    [LoggerMessage(101, LogLevel.Information, "Stream is {State}: {Detail}")]
    public static partial void StateEntered(ILogger logger, StreamState state, string? detail);

    [LoggerMessage(102, LogLevel.Error, "Stream met a fault that it does not know")]
    public static partial void JobFault(ILogger logger, Exception fault);

    [LoggerMessage(103, LogLevel.Error, "The stream's record could not be written; the stream goes on: {Reason}")]
    public static partial void RecordFailed(ILogger logger, string reason);

    [LoggerMessage(104, LogLevel.Information, "Takes up {Count} streams of host {Host}")]
    public static partial void TakenUp(ILogger logger, int count, string host);

    [LoggerMessage(105, LogLevel.Warning, "Stream goes on with the {Engine} engine: {Reason}")]
    public static partial void EngineChanged(ILogger logger, StreamEngine engine, string reason);
}
