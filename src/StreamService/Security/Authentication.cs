using System.Collections.Immutable;
using System.Security.Claims;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authentication.JwtBearer;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Authorization.Policy;
using Microsoft.AspNetCore.DataProtection;
using StreamService.Configuration;
using StreamService.Storage;

namespace StreamService.Security;

/// <summary>
/// Who calls is found out here, in one of four ways: anybody (nothing is configured), an API key, a token of the provider, or the
/// session that the dashboard began with one of the two. What each call asks for stands on the call.
/// </summary>
internal static class Authentication
{
    /// <summary>Looks at a request and hands it to the scheme that is meant.</summary>
    public const string Scheme = "Caller";

    /// <summary>The dashboard's session.</summary>
    public const string SessionScheme = CookieAuthenticationDefaults.AuthenticationScheme;

    public const string JwtScheme = JwtBearerDefaults.AuthenticationScheme;

    /// <summary>The policy of calls that look at what all hosts have in common.</summary>
    public const string AllHostsPolicy = "all-hosts";

    private const int LongestName = 128;

    private const string SessionCookie = "streamservice-session";

    public static void AddCallers(this IServiceCollection services, AuthOptions options)
    {
        services.AddSingleton<ApiKeys>();
        services.AddHttpContextAccessor();
        services.AddScoped(provider => Caller.Of(provider.GetRequiredService<IHttpContextAccessor>().HttpContext?.User ?? new ClaimsPrincipal()));
        if (options.IsConfigured)
            AddSchemes(services, options);
        else
            services.AddAuthentication(OpenHandler.SchemeName).AddScheme<AuthenticationSchemeOptions, OpenHandler>(OpenHandler.SchemeName, configureOptions: null);

        services.AddSingleton<IAuthorizationMiddlewareResultHandler, MissingScopes>();
        services.AddAuthorization(authorization =>
        {
            foreach (var scope in Scopes.All)
                authorization.AddPolicy(scope, policy => policy.RequireAuthenticatedUser().AddRequirements(new ScopeRequirement(scope)));
            authorization.AddPolicy(AllHostsPolicy, policy => policy.RequireAuthenticatedUser().AddRequirements(new ScopeRequirement(Scopes.StreamsRead), new UnlimitedRequirement()));
            // A call that says nothing of its own only looks.
            authorization.FallbackPolicy = authorization.GetPolicy(Scopes.StreamsRead);
            authorization.DefaultPolicy = authorization.GetPolicy(Scopes.StreamsRead)!;
        });
        services.AddSingleton<IAuthorizationHandler, ScopeHandler>();
        services.AddSingleton<IAuthorizationHandler, UnlimitedHandler>();
    }

    private static void AddSchemes(IServiceCollection services, AuthOptions options)
    {
        // Sessions outlive a restart, and one replica takes those of another.
        services.AddDataProtection().SetApplicationName("StreamService").PersistKeysToDbContext<StreamDbContext>();
        var authentication = services.AddAuthentication(Scheme)
            .AddPolicyScheme(Scheme, displayName: null, policy => policy.ForwardDefaultSelector = context => Select(context.Request, options))
            .AddScheme<AuthenticationSchemeOptions, ApiKeyHandler>(ApiKeyHandler.SchemeName, configureOptions: null)
            .AddCookie(SessionScheme, cookie => ConfigureSession(cookie, options));
        if (options.Jwt.IsConfigured)
            authentication.AddJwtBearer(JwtScheme, jwt => ConfigureJwt(jwt, options.Jwt));
    }

    private static string Select(HttpRequest request, AuthOptions options)
    {
        if (request.Headers.ContainsKey(ApiKeyHandler.Header))
            return ApiKeyHandler.SchemeName;
        if (Bearer.Read(request) is { } token)
            return options.Jwt.IsConfigured && !token.StartsWith(ApiKeys.Prefix, StringComparison.Ordinal) ? JwtScheme : ApiKeyHandler.SchemeName;
        return request.Cookies.ContainsKey(SessionCookie) ? SessionScheme : ApiKeyHandler.SchemeName;
    }

    private static void ConfigureSession(CookieAuthenticationOptions cookie, AuthOptions options)
    {
        cookie.Cookie.Name = SessionCookie;
        cookie.Cookie.HttpOnly = true;
        cookie.Cookie.SameSite = SameSiteMode.Strict;
        cookie.Cookie.SecurePolicy = CookieSecurePolicy.SameAsRequest;
        cookie.ExpireTimeSpan = options.SessionLifetime;
        cookie.SlidingExpiration = true;
        cookie.Events.OnRedirectToLogin = context => Answer(context.Response, StatusCodes.Status401Unauthorized);
        cookie.Events.OnRedirectToAccessDenied = context => Answer(context.Response, StatusCodes.Status403Forbidden);
        cookie.Events.OnValidatePrincipal = async context =>
        {
            // A key that was taken away ends its sessions; one that was changed changes them.
            if (context.Principal?.FindFirstValue(ApiKeyHandler.HashClaim) is not { } hash)
                return;
            var keys = context.HttpContext.RequestServices.GetRequiredService<ApiKeys>();
            if (keys.FindByHash(hash) is not { } caller)
            {
                context.RejectPrincipal();
                await context.HttpContext.SignOutAsync(SessionScheme);
                return;
            }
            context.ReplacePrincipal(ApiKeyHandler.ToPrincipal(caller, hash, SessionScheme));
        };

        static Task Answer(HttpResponse response, int status)
        {
            response.StatusCode = status;
            return Task.CompletedTask;
        }
    }

    private static void ConfigureJwt(JwtBearerOptions jwt, JwtOptions options)
    {
        jwt.Authority = options.Authority;
        jwt.Audience = options.Audience;
        jwt.RequireHttpsMetadata = options.RequireHttps;
        jwt.MapInboundClaims = false;
        jwt.TokenValidationParameters.NameClaimType = options.NameClaim;
        jwt.Events = new JwtBearerEvents
        {
            OnTokenValidated = context =>
            {
                // Of the provider's claims only the name and the scopes count: a claim "host" of its own means something else.
                var principal = context.Principal!;
                var caller = new Caller(
                    // It goes into the log.
                    new string([.. (principal.FindFirstValue(options.NameClaim) ?? "unnamed").Take(LongestName).Where(character => !char.IsControl(character))]),
                    [.. principal.FindAll(options.ScopeClaim).SelectMany(claim => claim.Value.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Intersect(Scopes.All)],
                    ImmutableHashSet<string>.Empty,
                    ImmutableHashSet<string>.Empty);
                context.Principal = caller.ToPrincipal(JwtScheme);
                return Task.CompletedTask;
            },
        };
    }

    private sealed record ScopeRequirement(string Scope) : IAuthorizationRequirement;

    private sealed record UnlimitedRequirement : IAuthorizationRequirement;

    private sealed class UnlimitedHandler : AuthorizationHandler<UnlimitedRequirement>
    {
        protected override Task HandleRequirementAsync(AuthorizationHandlerContext context, UnlimitedRequirement requirement)
        {
            if (!Caller.Of(context.User).IsLimited)
                context.Succeed(requirement);
            return Task.CompletedTask;
        }
    }

    private sealed class ScopeHandler : AuthorizationHandler<ScopeRequirement>
    {
        protected override Task HandleRequirementAsync(AuthorizationHandlerContext context, ScopeRequirement requirement)
        {
            if (Caller.Of(context.User).May(requirement.Scope))
                context.Succeed(requirement);
            return Task.CompletedTask;
        }
    }

    /// <summary>Tells a caller which scope it lacks.</summary>
    private sealed class MissingScopes : IAuthorizationMiddlewareResultHandler
    {
        private readonly AuthorizationMiddlewareResultHandler _default = new();

        public Task HandleAsync(RequestDelegate next, HttpContext context, AuthorizationPolicy policy, PolicyAuthorizationResult authorizeResult)
        {
            if (authorizeResult.Forbidden)
            {
                if (policy.Requirements.OfType<UnlimitedRequirement>().Any() && Caller.Of(context.User).IsLimited)
                    throw new ForbiddenException($"This call tells of all hosts and domains; '{Caller.Of(context.User).Name}' is limited to some.");
                var missing = policy.Requirements.OfType<ScopeRequirement>().Select(requirement => requirement.Scope);
                throw new ForbiddenException($"This call needs the scope {string.Join(", ", missing)}; '{Caller.Of(context.User).Name}' has {Have(context.User)}.");
            }
            if (authorizeResult.Challenged)
                throw new UnauthorizedException(context.Request.Headers.Authorization.Count > 0 || context.Request.Headers.ContainsKey(ApiKeyHandler.Header)
                    ? "The API key or token is not known, or not valid any more."
                    : "Send an API key or a token: Authorization: Bearer …");
            return _default.HandleAsync(next, context, policy, authorizeResult);
        }

        private static string Have(ClaimsPrincipal user) => Caller.Of(user).Scopes is { Count: > 0 } scopes ? string.Join(", ", scopes.Order(StringComparer.Ordinal)) : "none";
    }
}

/// <summary>Nobody has signed in, or not rightly.</summary>
public sealed class UnauthorizedException(string detail) : Exception(detail);

/// <summary>The caller may not do that.</summary>
public sealed class ForbiddenException(string detail) : Exception(detail);
