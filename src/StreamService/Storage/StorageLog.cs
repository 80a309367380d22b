namespace StreamService.Storage;

/// <summary>What the storage layer writes to the log.</summary>
internal static partial class StorageLog
{
    [LoggerMessage(501, LogLevel.Error, "The database has records that cannot be read")]
    public static partial void UnreadableFound(ILogger logger, Exception fault);

    [LoggerMessage(502, LogLevel.Error, "Removed a stream's record that cannot be read; the disk is as it was, and a new stream goes on from there. The record: {Record}")]
    public static partial void SetAside(ILogger logger, Exception fault, string record);

    [LoggerMessage(503, LogLevel.Warning, "The database's file was deleted or replaced; streams and migrations that are not over were put on record again")]
    public static partial void MadeAnew(ILogger logger);

    [LoggerMessage(504, LogLevel.Error, "The database's file was deleted or replaced, and cannot be used now")]
    public static partial void StillLost(ILogger logger, Exception fault);
}
