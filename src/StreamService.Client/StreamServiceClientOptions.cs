using System.Net.Sockets;

namespace StreamService.Client;

/// <summary>Where the service is, and who calls.</summary>
public sealed record StreamServiceClientOptions
{
    /// <summary>The service's address; a path in it is kept, for a service behind a proxy. Default <c>http://localhost:5000</c>, the service's own.</summary>
    public Uri BaseAddress { get; init; } = new("http://localhost:5000");

    /// <summary>The Unix socket that the service listens on; <see cref="BaseAddress"/> is then only a name.</summary>
    public string? UnixSocket { get; init; }

    /// <summary>
    /// An API key, or a token of the provider that the service is configured with. Asked for with every request and connection, so that
    /// it may change; null, or an answer of null, for a service without authentication.
    /// </summary>
    public Func<CancellationToken, ValueTask<string?>>? Credential { get; init; }

    /// <summary>How long an answer may take. Long-polls and deployments are given theirs on top. Default 100 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(100);

    /// <summary>Carries all traffic, that of the hub too, instead of a handler of the client's own. Disposed with the client.</summary>
    public HttpMessageHandler? Transport { get; init; }

    /// <summary>The clock of reconnects.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Reads an address as people write it: <c>http://host:5080</c>, <c>https://host/path</c>, <c>unix:/run/streamservice.sock</c>.</summary>
    /// <param name="address">The address.</param>
    /// <param name="apiKey">An API key or token; null for none.</param>
    /// <exception cref="FormatException">It is none of these.</exception>
    public static StreamServiceClientOptions Parse(string address, string? apiKey = null)
    {
        Func<CancellationToken, ValueTask<string?>>? credential = apiKey is null ? null : _ => ValueTask.FromResult<string?>(apiKey);
        const string unix = "unix:";
        if (address.StartsWith(unix, StringComparison.Ordinal))
        {
            var path = address[unix.Length..];
            path = path.StartsWith("//", StringComparison.Ordinal) ? path[2..] : path;
            return Path.IsPathRooted(path)
                ? new() { BaseAddress = new("http://localhost"), UnixSocket = path, Credential = credential }
                : throw new FormatException($"'{address}' is no address of a service: after unix: comes the absolute path of its socket.");
        }
        return Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
            ? new() { BaseAddress = uri, Credential = credential }
            : throw new FormatException($"'{address}' is no address of a service: it begins with http://, https:// or unix:/.");
    }

    internal HttpMessageHandler CreateTransport()
    {
        if (Transport is not null)
            return Transport;
        // Names may come to mean other machines while a client lives.
        var handler = new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(5), UseCookies = false };
        if (UnixSocket is { } path)
            handler.ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        return handler;
    }
}
