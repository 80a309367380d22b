namespace StreamService.Hypervisors;

/// <summary>The host's hypervisor cannot be reached, or does not answer in time. Trying later can help.</summary>
public sealed class HostUnreachableException(string host, string reason, Exception? inner = null)
    : Exception($"Host '{host}' cannot be reached: {reason}", inner)
{
    /// <summary>The configured name of the host.</summary>
    public string Host { get; } = host;

    /// <summary>Why, in the words of the layer that failed.</summary>
    public string Reason { get; } = reason;
}

/// <summary>QEMU or libvirt answered, and refused. Its class and text are kept.</summary>
public class HypervisorException(string errorClass, string text, Exception? inner = null)
    : Exception($"{errorClass}: {text}", inner)
{
    /// <summary>The refusing layer's class of error, such as <c>GenericError</c> or <c>VIR_ERR_OPERATION_INVALID</c>.</summary>
    public string ErrorClass { get; } = errorClass;

    /// <summary>Its own words.</summary>
    public string Text { get; } = text;
}

/// <summary>
/// The disk cannot be exported from inside its QEMU: the only NBD server is taken, or the QEMU is too old. The native
/// engine needs no export.
/// </summary>
public sealed class ExportUnavailableException(string errorClass, string text, Exception? inner = null) : HypervisorException(errorClass, text, inner);

/// <summary>No host has that domain.</summary>
public sealed class DomainNotFoundException(string domain) : Exception($"No host has a domain '{domain}'.")
{
    /// <summary>The name or UUID that was asked for.</summary>
    public string Domain { get; } = domain;
}

/// <summary>Several hosts have a domain of that name; its UUID would be clear.</summary>
public sealed class AmbiguousDomainException(string name, IReadOnlyList<string> hosts)
    : Exception($"The name '{name}' is used on several hosts ({string.Join(", ", hosts)}). Use the UUID.");

/// <summary>The domain has no such disk.</summary>
public sealed class DiskNotFoundException(string domain, string path) : Exception($"Domain '{domain}' has no disk '{path}'.");

/// <summary>The domain has no QEMU process, so there is nothing to export or to stream.</summary>
/// <param name="obstacle">Why its image cannot be opened without one either; null where that does not matter.</param>
public sealed class DomainNotRunningException(string domain, string? obstacle = null)
    : Exception($"Domain '{domain}' is not running.{(obstacle is null ? "" : $" It cannot be streamed while it is shut off: {obstacle}")}");

/// <summary>No configured host has that name.</summary>
public sealed class HostNotFoundException(string host) : Exception($"No host is called '{host}'.");
