using System.Threading.RateLimiting;
using StreamService.Configuration;

namespace StreamService.Security;

/// <summary>Nobody's requests take the service away from the others: a token bucket for each caller.</summary>
internal static class RateLimits
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    public static void AddRateLimits(this IServiceCollection services, RateLimitOptions options) => services.AddRateLimiter(limiter =>
    {
        limiter.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
        limiter.GlobalLimiter = PartitionedRateLimiter.Create<HttpContext, string>(context => options.RequestsPerSecond == 0
            ? RateLimitPartition.GetNoLimiter("")
            : RateLimitPartition.GetTokenBucketLimiter(KeyOf(context), _ => new TokenBucketRateLimiterOptions
            {
                TokenLimit = options.Burst,
                // At a slow pace a tick brings one and comes the more rarely.
                TokensPerPeriod = (int)Math.Max(1, options.RequestsPerSecond * Tick.TotalSeconds),
                ReplenishmentPeriod = options.RequestsPerSecond >= 10 ? Tick : TimeSpan.FromSeconds(1.0 / options.RequestsPerSecond),
                QueueLimit = 0,
            }));
        limiter.OnRejected = (rejected, _) =>
            throw new TooManyRequestsException(options, rejected.Lease.TryGetMetadata(MetadataName.RetryAfter, out var after) ? after : Tick);
    });

    private static string KeyOf(HttpContext context) =>
        context.User.FindFirst(Caller.NameClaim)?.Value is { } name and not Caller.Anybody ? "caller " + name : "address " + context.Connection.RemoteIpAddress;
}

/// <summary>The caller asks too much.</summary>
public sealed class TooManyRequestsException(RateLimitOptions limit, TimeSpan retryAfter)
    : Exception($"More than {limit.RequestsPerSecond} requests a second, or {limit.Burst} at once.")
{
    public TimeSpan RetryAfter { get; } = retryAfter;
}
