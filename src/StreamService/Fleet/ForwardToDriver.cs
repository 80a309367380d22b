using Microsoft.AspNetCore.Http.Features;
using StreamService.Hypervisors;
using StreamService.Security;
using Yarp.ReverseProxy.Forwarder;

namespace StreamService.Fleet;

/// <summary>
/// Any replica answers any call: what is about a host that another one drives is forwarded there, with the caller's own credentials,
/// so that the same rules hold there as here. What was forwarded once is not forwarded again.
/// </summary>
internal sealed class ForwardToDriver(RequestDelegate next, DriverLookup lookup, Membership membership, FleetPeers peers, IHttpForwarder forwarder, TimeProvider time)
{
    /// <summary>How often a driver is looked for: it may have changed in between.</summary>
    private const int Attempts = 3;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(300);

    /// <summary>Longer than any long-poll.</summary>
    private static readonly ForwarderRequestConfig Config = new() { ActivityTimeout = TimeSpan.FromMinutes(6) };

    public async Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<AtDriverAttribute>() is not { Host: var of })
        {
            await next(context);
            return;
        }
        if (Peers.IsMarked(context.Request))
        {
            if (await lookup.IsHereAsync(context, of))
                await next(context);
            else
                context.Response.StatusCode = StatusCodes.Status421MisdirectedRequest;
            return;
        }
        var request = context.Request;
        if (request.ContentLength is > 0 || request.Headers.TransferEncoding.Count > 0)
            request.EnableBuffering();
        for (var attempt = 1; ; attempt++)
        {
            if (await lookup.FindAsync(context, of) is not { } driver)
            {
                await next(context);
                return;
            }
            Audit.SetBody(context, $"(forwarded to {driver.Name})");
            var transformer = new ToDriver(membership.Name);
            var error = await ForwardAsync(context, driver, transformer);
            if (error == ForwarderError.None && !transformer.WasMisdirected)
                return;
            lookup.Forget(context);
            if (context.Response.HasStarted || context.RequestAborted.IsCancellationRequested)
                return;
            context.Response.Clear();
            // Nothing was done by a replica that said that it is not the one; of one that said nothing that is not known.
            if (attempt == Attempts || !(transformer.WasMisdirected || HttpMethods.IsGet(request.Method)))
                throw new HostUnreachableException(HostsOf(driver), transformer.WasMisdirected ? HostTerms.NoDriver : $"Replica {driver.Name}, which drives it, does not answer.");
            if (request.Body.CanSeek)
                request.Body.Position = 0;
            await Task.Delay(Pause, time, context.RequestAborted);
        }
    }

    private async Task<ForwarderError> ForwardAsync(HttpContext context, Replica driver, ToDriver transformer)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, driver.Gone);
        return await forwarder.SendAsync(context, driver.Url.ToString(), peers.Client, Config, transformer, end.Token);
    }

    private string HostsOf(Replica driver) =>
        membership.View.Leases.Values.Where(lease => lease.Driver == driver.Name).Select(lease => lease.Host).Order(StringComparer.Ordinal).ToList() is [var only] ? only : $"of {driver.Name}";

    private sealed class ToDriver(string replica) : HttpTransformer
    {
        /// <summary>Whether the replica does not drive the host.</summary>
        public bool WasMisdirected { get; private set; }

        public override async ValueTask TransformRequestAsync(HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
        {
            await base.TransformRequestAsync(httpContext, proxyRequest, destinationPrefix, cancellationToken);
            // To the letter: an encoded slash in a disk's path must stay one.
            var target = httpContext.Features.Get<IHttpRequestFeature>()!.RawTarget;
            proxyRequest.RequestUri = new Uri(destinationPrefix.TrimEnd('/') + target, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });
            proxyRequest.Headers.Host = null;
            // Of a page of another origin the request was refused here already.
            proxyRequest.Headers.Remove("Origin");
            proxyRequest.Headers.Remove(Peers.Mark);
            proxyRequest.Headers.Add(Peers.Mark, replica);
        }

        public override async ValueTask<bool> TransformResponseAsync(HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
        {
            if ((int?)proxyResponse?.StatusCode == StatusCodes.Status421MisdirectedRequest)
            {
                WasMisdirected = true;
                return false;
            }
            return await base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken);
        }
    }
}
