using System.Net;
using StreamService.Client;

namespace StreamService.Ctl;

/// <summary>What streamctl ends with; documented in the README and in its help.</summary>
internal static class ExitCodes
{
    public const int Ok = 0;

    /// <summary>The stream or migration failed, the hypervisor refused, or something unforeseen happened.</summary>
    public const int Failed = 1;

    /// <summary>The command line, or the request made of it, is not valid.</summary>
    public const int Usage = 2;

    public const int NotFound = 3;

    /// <summary>The service understands and refuses: the disk is being streamed already, there is no room, …</summary>
    public const int Refused = 4;

    /// <summary>The service, or what it depends on, is not there now; later it may be.</summary>
    public const int Unreachable = 5;

    /// <summary>No key, a wrong one, or one that may not.</summary>
    public const int Denied = 6;

    /// <summary>What was watched was cancelled.</summary>
    public const int Cancelled = 7;

    /// <summary>Interrupted, as shells count it: 128 and SIGINT.</summary>
    public const int Interrupted = 130;

    public static int Of(StreamServiceException refused) => refused.Status switch
    {
        HttpStatusCode.BadRequest or HttpStatusCode.RequestEntityTooLarge or HttpStatusCode.UnsupportedMediaType => Usage,
        HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => Denied,
        HttpStatusCode.NotFound => NotFound,
        HttpStatusCode.Conflict or HttpStatusCode.InsufficientStorage => Refused,
        HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout => Unreachable,
        _ => Failed,
    };

    /// <summary>How watching a stream ends; one that is not over is no failure.</summary>
    public static int Of(StreamState state) => state switch
    {
        StreamState.Failed => Failed,
        StreamState.Cancelled => Cancelled,
        _ => Ok,
    };

    /// <inheritdoc cref="Of(StreamState)"/>
    public static int Of(MigrationState state) => state switch
    {
        MigrationState.Failed => Failed,
        MigrationState.Cancelled => Cancelled,
        _ => Ok,
    };
}
