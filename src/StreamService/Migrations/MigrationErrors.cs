using StreamService.Hypervisors;
using StreamService.Qemu.Nbd;

namespace StreamService.Migrations;

/// <summary>What an exception of a step is called in the migration's story.</summary>
internal static class MigrationErrors
{
    /// <summary>The code of a fault of the service itself.</summary>
    public const string Bug = "internal-error";

    public static MigrationError Of(Exception exception) => exception switch
    {
        HypervisorException refused => new("hypervisor-error", refused.Text),
        HostUnreachableException => new("host-unreachable", exception.Message),
        DomainNotFoundException => new("domain-not-found", exception.Message),
        DomainNotRunningException => new("domain-not-running", exception.Message),
        DiskNotFoundException => new("disk-not-found", exception.Message),
        NbdException => new("hypervisor-error", exception.Message),
        IOException or UnauthorizedAccessException => new("hypervisor-error", exception.Message),
        _ => new(Bug, exception.Message),
    };
}
