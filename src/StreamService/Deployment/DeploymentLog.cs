namespace StreamService.Deployment;

internal static partial class DeploymentLog
{
    [LoggerMessage(LogLevel.Error, "Work beside the deployments met a fault")]
    public static partial void Fault(ILogger logger, Exception fault);

    [LoggerMessage(LogLevel.Information, "Domain {Domain} deployed from {Image} on {Host}")]
    public static partial void Deployed(ILogger logger, string domain, string image, string host);

    [LoggerMessage(LogLevel.Warning, "The deployment of {Domain} failed and is undone: {Reason}")]
    public static partial void Undoing(ILogger logger, string domain, string reason);

    [LoggerMessage(LogLevel.Information, "What was left of {Domain} ({State}) is removed")]
    public static partial void Tidied(ILogger logger, string domain, DeploymentState state);

    [LoggerMessage(LogLevel.Warning, "What is left of {Domain} ({State}) cannot be removed yet: {Reason}")]
    public static partial void NotTidied(ILogger logger, string domain, DeploymentState state, string reason);

    [LoggerMessage(LogLevel.Information, "The first reads of {Domain}, {Bytes} bytes, are part of the profile of {Image}")]
    public static partial void Learned(ILogger logger, string image, string domain, long bytes);

    [LoggerMessage(LogLevel.Information, "New disks on {Image} begin with its {Bytes} bytes of hot data")]
    public static partial void Seeded(ILogger logger, string image, long bytes);

    [LoggerMessage(LogLevel.Warning, "New disks on {Image} begin empty: {Reason}")]
    public static partial void NotSeeded(ILogger logger, string image, string reason);

    [LoggerMessage(LogLevel.Information, "Nothing learned of {Image} from {Domain}: {Reason}")]
    public static partial void NotLearned(ILogger logger, string image, string domain, string reason);
}
