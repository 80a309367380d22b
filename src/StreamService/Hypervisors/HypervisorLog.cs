namespace StreamService.Hypervisors;

/// <summary>What the hypervisor layer writes to the log.</summary>
internal static partial class HypervisorLog
{
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

    [LoggerMessage(6, LogLevel.Information, "The hypervisor drops the backing link of {Domain} {Target}, new backing image: {Base}")]
    public static partial void DroppingBackingLink(ILogger logger, string domain, string target, string? @base);
}
