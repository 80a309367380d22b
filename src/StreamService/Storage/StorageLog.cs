namespace StreamService.Storage;

/// <summary>What the storage layer writes to the log.</summary>
internal static partial class StorageLog
{
    [LoggerMessage(501, LogLevel.Error, "The database has records that cannot be read")]
    public static partial void UnreadableFound(ILogger logger, Exception fault);

    [LoggerMessage(502, LogLevel.Error, "Removed a stream's record that cannot be read; the disk is as it was, and a new stream goes on from there. The record: {Record}")]
    public static partial void SetAside(ILogger logger, Exception fault, string record);

    [LoggerMessage(503, LogLevel.Warning, "{Loss}; streams and migrations that are not over were put on record again")]
    public static partial void RecordedAgain(ILogger logger, string loss);

    [LoggerMessage(504, LogLevel.Error, "{Loss}, and cannot be used now")]
    public static partial void StillLost(ILogger logger, string loss, Exception fault);

    [LoggerMessage(505, LogLevel.Warning, "The database does not answer, and is asked again for {Seconds} s: {Fault}")]
    public static partial void WaitingForDatabase(ILogger logger, double seconds, string fault);

    [LoggerMessage(506, LogLevel.Error, "A record cannot be read, and is left out: stream {StreamId}")]
    public static partial void LeftOut(ILogger logger, Exception fault, Guid streamId);

    [LoggerMessage(507, LogLevel.Warning, "The connection to the database is lost, and is sought again: {Fault}")]
    public static partial void SignalsLost(ILogger logger, string fault);

    [LoggerMessage(508, LogLevel.Information, "Listening for signals of other replicas")]
    public static partial void Listening(ILogger logger);

    [LoggerMessage(509, LogLevel.Error, "A subscriber of {Topic} failed")]
    public static partial void SubscriberFailed(ILogger logger, string topic, Exception fault);

    [LoggerMessage(510, LogLevel.Warning, "Old events could not be removed; it is tried again: {Reason}")]
    public static partial void PruneFailed(ILogger logger, string reason);
}
