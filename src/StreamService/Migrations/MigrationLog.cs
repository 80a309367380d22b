namespace StreamService.Migrations;

internal static partial class MigrationLog
{
    [LoggerMessage(LogLevel.Information, "Migration of {Domain} from {Source} to {Destination} begun ({MigrationId})")]
    public static partial void Begun(ILogger logger, string domain, string source, string destination, Guid migrationId);

    [LoggerMessage(LogLevel.Information, "Migration of {Domain}: step {Step}, attempt {Attempt}")]
    public static partial void StepBegun(ILogger logger, string domain, MigrationStepName step, int attempt);

    [LoggerMessage(LogLevel.Warning, "Migration of {Domain}: step {Step} failed: {Reason}")]
    public static partial void StepFailed(ILogger logger, string domain, MigrationStepName step, string reason);

    [LoggerMessage(LogLevel.Error, "Migration of {Domain}: step {Step} met a fault")]
    public static partial void StepFault(ILogger logger, string domain, MigrationStepName step, Exception fault);

    [LoggerMessage(LogLevel.Information, "Migration of {Domain}: libvirt's part is over, the domain is found as {Whereabouts}")]
    public static partial void Settled(ILogger logger, string domain, Whereabouts whereabouts);

    [LoggerMessage(LogLevel.Information, "Migration of {Domain}: it is on {Destination} now")]
    public static partial void Switched(ILogger logger, string domain, string destination);

    [LoggerMessage(LogLevel.Warning, "Migration of {Domain}: step {Step} is not undone yet: {Reason}")]
    public static partial void NotUndone(ILogger logger, string domain, MigrationStepName step, string reason);

    [LoggerMessage(LogLevel.Information, "Migration of {Domain} ended as {State}. {Error}")]
    public static partial void Ended(ILogger logger, string domain, MigrationState state, string? error);

    [LoggerMessage(LogLevel.Error, "A migration met a fault of the service and is taken up again")]
    public static partial void JobFault(ILogger logger, Exception fault);

    [LoggerMessage(LogLevel.Information, "{Count} migrations from host {Host} are taken up")]
    public static partial void TakenUp(ILogger logger, int count, string host);

    [LoggerMessage(LogLevel.Information, "Export {Export} listens on {Address}:{Port}")]
    public static partial void ExportStarted(ILogger logger, string export, string address, int port);

    [LoggerMessage(LogLevel.Information, "Export {Export} is gone")]
    public static partial void ExportStopped(ILogger logger, string export);
}
