using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;
using StreamService.Security;

namespace StreamService.Fleet;

/// <summary>
/// Asks the other replicas what they know of their own hosts, with the credentials of the caller on whose behalf it is: what the
/// caller may not see, they do not tell.
/// </summary>
public class Peers
{
    /// <summary>Marks what one replica asks another: it answers from its own hosts and asks nobody else. Whoever sends it without being a replica gets less, never more.</summary>
    public const string Mark = "X-StreamService-Replica";

    /// <summary>Whether a replica asks.</summary>
    public static bool IsMarked(HttpRequest request) => request.Headers.ContainsKey(Mark);

    /// <summary>The answers of all others to the same request, as far as they answer. None where there are no others, or one of them asks.</summary>
    public virtual Task<IReadOnlyList<T>> AskAllAsync<T>(HttpContext context) => Task.FromResult<IReadOnlyList<T>>([]);
}

/// <inheritdoc/>
public sealed class FleetPeers : Peers, IDisposable
{
    /// <summary>Who has not answered a look by then is passed over; who is dead, sooner.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private static readonly string[] Credentials = ["Authorization", "Cookie", ApiKeyHandler.Header];

    private readonly Membership _membership;
    private readonly JsonSerializerOptions _json;
    private readonly ILogger<FleetPeers> _logger;

    public FleetPeers(Membership membership, IOptions<JsonOptions> json, ILogger<FleetPeers> logger)
    {
        (_membership, _logger) = (membership, logger);
        // A replica of the next version may tell more.
        _json = new JsonSerializerOptions(json.Value.JsonSerializerOptions) { UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Skip };
        Client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = FleetTimes.DriveFor / 2,
            PooledConnectionIdleTimeout = TimeSpan.FromMinutes(1),
        });
    }

    /// <summary>What requests to the others are sent with.</summary>
    public HttpMessageInvoker Client { get; }

    public override async Task<IReadOnlyList<T>> AskAllAsync<T>(HttpContext context)
    {
        if (IsMarked(context.Request))
            return [];
        var answers = await Task.WhenAll(_membership.Others.Select(async replica =>
            await AskAsync<T>(replica, context, context.Request.Path.ToUriComponent() + context.Request.QueryString.ToUriComponent())));
        return [.. from answer in answers where answer.Value is not null select answer.Value];
    }

    /// <summary>One replica's answer to a GET: its status, and what it found; no status where it did not answer.</summary>
    public async Task<(HttpStatusCode? Status, T? Value)> AskAsync<T>(Replica replica, HttpContext context, string pathAndQuery)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(replica.Url, pathAndQuery));
        request.Headers.Add(Mark, _membership.Name);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        foreach (var header in Credentials)
            if (context.Request.Headers.TryGetValue(header, out var values))
                request.Headers.TryAddWithoutValidation(header, (IEnumerable<string?>)values);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, replica.Gone);
        deadline.CancelAfter(Patience);
        try
        {
            using var answer = await Client.SendAsync(request, deadline.Token);
            if (!answer.IsSuccessStatusCode)
                return (answer.StatusCode, default);
            await using var body = await answer.Content.ReadAsStreamAsync(deadline.Token);
            return (answer.StatusCode, await JsonSerializer.DeserializeAsync<T>(body, _json, deadline.Token));
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or JsonException
            || (exception is OperationCanceledException && !context.RequestAborted.IsCancellationRequested))
        {
            FleetLog.PeerSilent(_logger, replica.Name, exception.GetBaseException().Message);
            return (null, default);
        }
    }

    public void Dispose() => Client.Dispose();
}
