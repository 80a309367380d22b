namespace StreamService.Hypervisors;

/// <summary>What the hypervisor layer writes to the log.</summary>
internal static partial class HypervisorLog
{
    [LoggerMessage(LogLevel.Warning, "The libvirt of {Source} cannot talk to that of {Destination}, so the migration goes through this service: {Reason}")]
    public static partial void NotPeerToPeer(ILogger logger, string source, string destination, string reason);

    [LoggerMessage(1, LogLevel.Information, "Host {Host} is connected: {Hypervisor} {Version}, libvirt {LibvirtVersion}")]
    public static partial void Connected(ILogger logger, string host, string? hypervisor, string? version, string? libvirtVersion);

    [LoggerMessage(2, LogLevel.Warning, "Host {Host} cannot be reached: {Reason}; trying again in {Delay}")]
    public static partial void Unreachable(ILogger logger, string host, string reason, TimeSpan delay);

    [LoggerMessage(3, LogLevel.Information, "The NBD server of domain {Domain} is started")]
    public static partial void NbdServerStarted(ILogger logger, string domain);

    [LoggerMessage(4, LogLevel.Information, "The NBD server of domain {Domain} is given back")]
    public static partial void NbdServerStopped(ILogger logger, string domain);

    [LoggerMessage(5, LogLevel.Warning, "The NBD server of domain {Domain} stays behind: {Reason}")]
    public static partial void NbdServerLeftBehind(ILogger logger, string domain, string reason);

    [LoggerMessage(6, LogLevel.Information, "The hypervisor's own stream job begins on {Domain} {Target}, new backing image: {Base}")]
    public static partial void NativeJobBegun(ILogger logger, string domain, string target, string? @base);

    [LoggerMessage(7, LogLevel.Information, "Monitor {Path} of host {Host} answers: {Hypervisor} {Version}, domain {Domain}")]
    public static partial void MonitorConnected(ILogger logger, string host, string path, string hypervisor, string version, string domain);

    [LoggerMessage(8, LogLevel.Warning, "Monitor {Path} of host {Host} does not answer: {Reason}")]
    public static partial void MonitorLost(ILogger logger, string host, string path, string reason);

    [LoggerMessage(9, LogLevel.Warning, "A leftover stream job on {Domain} {Target} is ended first; what it populated stays")]
    public static partial void LeftoverEnded(ILogger logger, string domain, string target);
}
