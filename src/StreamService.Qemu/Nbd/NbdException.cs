namespace StreamService.Qemu.Nbd;

/// <summary>
/// The link to an NBD server broke, could not be made, or the server violated the protocol. The connection is of no
/// more use; see <see cref="NbdCommandException"/> for the one case in which it lives on.
/// </summary>
public class NbdException : IOException
{
    public NbdException()
    {
    }

    public NbdException(string message)
        : base(message)
    {
    }

    public NbdException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    internal static NbdException Violation(string what) => new($"The NBD server violated the protocol: {what}.");
}

/// <summary>The server is there and speaks the protocol, and refused what the handshake asked for.</summary>
public sealed class NbdRefusedException : NbdException
{
    internal NbdRefusedException(bool isUnknownExport, bool isUnsupported, string message)
        : base(message)
    {
        IsUnknownExport = isUnknownExport;
        IsUnsupported = isUnsupported;
    }

    /// <summary>It has no export of that name (NBD_REP_ERR_UNKNOWN).</summary>
    public bool IsUnknownExport { get; }

    /// <summary>It does not know the request, or does not allow it (NBD_REP_ERR_UNSUP, NBD_REP_ERR_POLICY).</summary>
    public bool IsUnsupported { get; }
}

/// <summary>The server refused one command. The connection lives on and takes further commands.</summary>
public sealed class NbdCommandException : NbdException
{
    internal NbdCommandException(NbdError error, string? serverMessage, string message)
        : base(message)
    {
        Error = error;
        ServerMessage = serverMessage;
    }

    /// <summary>The error of the reply. May hold a number that <see cref="NbdError"/> does not name.</summary>
    public NbdError Error { get; }

    /// <summary>The server's own text, at most 4096 bytes, control characters replaced; null where it sent none.</summary>
    public string? ServerMessage { get; }
}

/// <summary>Errors of the NBD protocol (proto.md, "Error values"), named as there.</summary>
public enum NbdError
{
    /// <summary>Operation not permitted: for CACHE, the image was opened read-only.</summary>
    EPERM = 1,

    /// <summary>Input/output error: for CACHE, the backing source cannot be read or the overlay cannot be written.</summary>
    EIO = 5,

    /// <summary>The server is out of memory.</summary>
    ENOMEM = 12,

    /// <summary>The server takes no such request: alignment, length or command.</summary>
    EINVAL = 22,

    /// <summary>No space left where the overlay is stored.</summary>
    ENOSPC = 28,

    /// <summary>A value is too large.</summary>
    EOVERFLOW = 75,

    /// <summary>Operation not supported. Also thrown by this client, without a request, for what the export does not offer.</summary>
    ENOTSUP = 95,

    /// <summary>The server is shutting down.</summary>
    ESHUTDOWN = 108,
}
