namespace StreamService.Fleet;

/// <summary>What the fleet writes to the log.</summary>
internal static partial class FleetLog
{
    [LoggerMessage(701, LogLevel.Information, "Replica {Name} at {Url} is one of: {Replicas}")]
    public static partial void Joined(ILogger logger, string name, Uri url, string replicas);

    [LoggerMessage(702, LogLevel.Information, "The replicas are: {Replicas}")]
    public static partial void Changed(ILogger logger, string replicas);

    [LoggerMessage(703, LogLevel.Error, "Another replica lives under the name {Name}: this one drives nothing. Give each its own, StreamService:Fleet:Name")]
    public static partial void NameTaken(ILogger logger, string name);

    [LoggerMessage(704, LogLevel.Warning, "The fleet's database is away: {Reason}")]
    public static partial void DatabaseAway(ILogger logger, string reason);

    [LoggerMessage(705, LogLevel.Information, "The fleet's database is back")]
    public static partial void Back(ILogger logger);

    [LoggerMessage(706, LogLevel.Information, "Drives host {Host}, epoch {Epoch}")]
    public static partial void Taken(ILogger logger, string host, long epoch);

    [LoggerMessage(707, LogLevel.Information, "Gives host {Host} back")]
    public static partial void GivenBack(ILogger logger, string host);

    [LoggerMessage(708, LogLevel.Warning, "Does not drive host {Host} any more: another replica may by now")]
    public static partial void Lost(ILogger logger, string host);

    [LoggerMessage(709, LogLevel.Information, "The lock of host {Host} was lost with its connection, and is held again")]
    public static partial void LockedAgain(ILogger logger, string host);

    [LoggerMessage(710, LogLevel.Warning, "Host {Host} is locked by a replica that is taken for dead: its session is ended")]
    public static partial void SessionEnded(ILogger logger, string host);

    [LoggerMessage(711, LogLevel.Error, "Host {Host} could not be taken")]
    public static partial void NotTaken(ILogger logger, Exception fault, string host);

    [LoggerMessage(712, LogLevel.Warning, "Without StreamService:Redis the hub of each replica shows only what it drives itself")]
    public static partial void NoRedis(ILogger logger);

    [LoggerMessage(713, LogLevel.Warning, "Replica {Replica} does not answer: {Reason}")]
    public static partial void PeerSilent(ILogger logger, string replica, string reason);

    [LoggerMessage(714, LogLevel.Warning, "Redis is away: the hub shows only what this replica drives itself: {Reason}")]
    public static partial void RedisAway(ILogger logger, string reason);

    [LoggerMessage(715, LogLevel.Information, "Redis is back; what was missed is read from the records")]
    public static partial void RedisBack(ILogger logger);

    [LoggerMessage(716, LogLevel.Warning, "A picture of another replica cannot be read, of another version perhaps: {Reason}")]
    public static partial void PictureUnreadable(ILogger logger, string reason);

    [LoggerMessage(717, LogLevel.Warning, "Another replica may deliver events to webhooks now: {Reason}")]
    public static partial void TurnLost(ILogger logger, string reason);
}
