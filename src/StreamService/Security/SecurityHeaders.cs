namespace StreamService.Security;

/// <summary>What browsers are told: scripts and styles come from this service alone, nobody frames it, nothing is guessed or kept.</summary>
internal static class SecurityHeaders
{
    /// <summary>The one style element of Swagger UI, which is in its logo.</summary>
    private const string SwaggerLogo = "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='";

    /// <summary>Data URIs: the icons of Swagger UI's style sheet.</summary>
    private const string ContentSecurityPolicy =
        $"default-src 'none'; script-src 'self'; style-src 'self' {SwaggerLogo}; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        + "form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

    public static void UseSecurityHeaders(this WebApplication app) => app.Use((context, next) =>
    {
        // At the last moment: an error's answer begins with cleared headers.
        context.Response.OnStarting(() =>
        {
            var headers = context.Response.Headers;
            headers.ContentSecurityPolicy = ContentSecurityPolicy;
            headers.XContentTypeOptions = "nosniff";
            headers.XFrameOptions = "DENY";
            headers["Referrer-Policy"] = "no-referrer";
            headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()";
            headers["Cross-Origin-Opener-Policy"] = "same-origin";
            headers["Cross-Origin-Resource-Policy"] = "same-origin";
            if (context.Request.IsHttps)
                headers.StrictTransportSecurity = "max-age=31536000";
            // Answers are about guests' disks; files carry their own.
            if (headers.CacheControl.Count == 0 && headers.ETag.Count == 0)
                headers.CacheControl = "no-store";
            return Task.CompletedTask;
        });
        return next(context);
    });
}
