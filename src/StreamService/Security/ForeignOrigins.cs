using StreamService.Configuration;

namespace StreamService.Security;

/// <summary>
/// Pages of other origins change nothing and hear nothing, whatever cookies or network position the browser that runs them has.
/// CORS alone does not see to that: it does not cover WebSockets, nor requests whose answer nobody reads.
/// </summary>
internal static class ForeignOrigins
{
    public static void UseForeignOriginGuard(this WebApplication app, AuthOptions options) => app.Use((context, next) =>
    {
        var request = context.Request;
        if (request.Headers.Origin.ToString() is { Length: > 0 } origin
            && !IsOwn(origin, request.Host)
            && !options.AllowedOrigins.Contains(origin)
            && (!IsSafe(request.Method) || context.WebSockets.IsWebSocketRequest || request.Headers.Upgrade.Count > 0))
            throw new ForbiddenException($"Pages of {origin} may not call this service; StreamService:Auth:AllowedOrigins names those that may.");
        return next(context);
    });

    /// <summary>Host and port decide: before a proxy that ends TLS the page's scheme is another than the request's.</summary>
    private static bool IsOwn(string origin, HostString host) =>
        Uri.TryCreate(origin, UriKind.Absolute, out var uri) && uri.Authority.Equals(host.Value, StringComparison.OrdinalIgnoreCase);

    private static bool IsSafe(string method) => HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsOptions(method);
}
