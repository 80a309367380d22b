using System.Net.Security;

namespace StreamService.Qemu.Nbd;

/// <summary>How to connect to an NBD server, and what to ask it for.</summary>
public sealed record NbdClientOptions
{
    /// <summary>Metadata contexts to ask for; those granted are in <see cref="NbdExportInfo.MetadataContexts"/>.</summary>
    public IReadOnlyList<string> MetadataContexts { get; init; } = [];

    /// <summary>Bound of connecting, TLS and the handshake together.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// A server that leaves a request unanswered for so long counts as gone: the connection is broken off. Noticed
    /// with a delay of at most a quarter of it. Null: wait for ever, as a source may stall.
    /// </summary>
    public TimeSpan? RequestTimeout { get; init; }

    /// <summary>Requests in flight at once; further callers queue. 16 is the limit of QEMU's server (MAX_NBD_REQUESTS, nbd/server.c).</summary>
    public int MaxInFlight { get; init; } = 16;

    /// <summary>Where set, TLS is required (NBD_OPT_STARTTLS): never falls back to plain text.</summary>
    public SslClientAuthenticationOptions? TlsOptions { get; init; }

    /// <summary>Clock of the timeouts.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInFlight, 1, nameof(MaxInFlight));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxInFlight, 1024, nameof(MaxInFlight));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(ConnectTimeout, TimeSpan.Zero, nameof(ConnectTimeout));
        if (RequestTimeout is { } timeout)
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero, nameof(RequestTimeout));
        }
    }
}
