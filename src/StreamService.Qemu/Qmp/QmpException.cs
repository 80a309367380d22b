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
