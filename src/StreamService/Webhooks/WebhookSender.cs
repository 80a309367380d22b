using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using StreamService.Configuration;

namespace StreamService.Webhooks;

/// <summary>What became of one attempt.</summary>
/// <param name="Fault">Why it failed, in a sentence without the URL, which may hold a secret; null where the receiver has the event.</param>
/// <param name="RetryAfter">How long the receiver wants to be left alone; null where it did not say.</param>
public readonly record struct WebhookAnswer(string? Fault, TimeSpan? RetryAfter = null);

/// <summary>Posts one event to one receiver, signed as Standard Webhooks has it. It goes where it is sent and nowhere else.</summary>
public sealed class WebhookSender(TimeProvider time) : IDisposable
{
    /// <summary>Begins every secret.</summary>
    public const string SecretPrefix = "whsec_";

    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        // A receiver that could send us on could send us anywhere: to what only this machine reaches.
        AllowAutoRedirect = false,
        UseCookies = false,
        // Follows a name that moves.
        PooledConnectionLifetime = TimeSpan.FromMinutes(2),
        // What a receiver is told is the event, not our trace.
        ActivityHeadersPropagator = null,
    })
    { Timeout = Timeout.InfiniteTimeSpan };

    /// <summary>Sends an event once. Any answer of 2xx takes it; what it says besides is not read.</summary>
    /// <param name="id">The same in every attempt.</param>
    public async Task<WebhookAnswer> SendAsync(WebhookOptions receiver, Guid id, ReadOnlyMemory<byte> body, string mediaType, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, receiver.Url) { Content = new ReadOnlyMemoryContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue(mediaType, "utf-8");
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("StreamService", typeof(WebhookSender).Assembly.GetName().Version!.ToString(3)));
        Sign(request.Headers, receiver.Secret, id.ToString(), time.GetUtcNow(), body.Span);
        using var deadline = new CancellationTokenSource(receiver.Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            return response.IsSuccessStatusCode ? new WebhookAnswer(null)
                : new WebhookAnswer(
                    $"It answered {(int)response.StatusCode}{((int)response.StatusCode is >= 300 and < 400 ? ": redirects are not followed" : "")}.",
                    response.Headers.RetryAfter is { } after ? after.Delta ?? after.Date - time.GetUtcNow() : null);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new WebhookAnswer($"It has not answered within {receiver.Timeout.TotalSeconds:0.#} s.");
        }
        catch (HttpRequestException exception)
        {
            return new WebhookAnswer($"{exception.HttpRequestError}: {exception.GetBaseException().Message}");
        }
    }

    public void Dispose() => _http.Dispose();

    /// <summary>https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme".</summary>
    private static void Sign(HttpRequestHeaders headers, string secret, string id, DateTimeOffset at, ReadOnlySpan<byte> body)
    {
        var timestamp = at.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        byte[] signed = [.. Encoding.ASCII.GetBytes($"{id}.{timestamp}."), .. body];
        var hash = HMACSHA256.HashData(Convert.FromBase64String(secret[SecretPrefix.Length..]), signed);
        headers.Add("webhook-id", id);
        headers.Add("webhook-timestamp", timestamp);
        headers.Add("webhook-signature", $"v1,{Convert.ToBase64String(hash)}");
    }
}
