namespace StreamService.Qemu.Qmp;

/// <summary>The link to QEMU's monitor broke, or what came over it is not what the protocol promises.</summary>
public class QmpException(string message, Exception? innerException = null) : Exception(message, innerException);

/// <summary>QEMU understood the command and refused it.</summary>
/// <param name="errorClass">QapiErrorClass: GenericError nearly always; CommandNotFound, DeviceNotFound, DeviceNotActive, KVMMissingCap.</param>
/// <param name="description">QEMU's text, for people.</param>
public sealed class QmpCommandException(string command, string errorClass, string description)
    : QmpException($"{command}: {description}")
{
    /// <summary>The command that was refused.</summary>
    public string Command { get; } = command;

    /// <summary>QEMU's error class.</summary>
    public string Class { get; } = errorClass;

    /// <summary>QEMU's own text.</summary>
    public string Description { get; } = description;
}

/// <summary>Nobody listens at the monitor's socket: QEMU is gone, or the socket was never there.</summary>
public sealed class QmpDeadException(string message, Exception? innerException = null) : QmpException(message, innerException);

/// <summary>
/// QEMU listens, but greets nobody while another client holds the monitor: it serves one at a time.
/// </summary>
public sealed class QmpBusyException(string message) : QmpException(message);

/// <summary>The monitor took a command and has not answered in time. The link itself may be sound.</summary>
public sealed class QmpTimeoutException(string message) : QmpException(message);
