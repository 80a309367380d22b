using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using StreamService.Client.Json;

namespace StreamService.Client;

/// <summary>Requests and their answers: JSON there and back, problems as exceptions, lists page by page.</summary>
internal sealed class ApiConnection : IDisposable
{
    /// <summary>What an answer may take beyond the time that the service was asked to wait.</summary>
    private readonly TimeSpan _timeout;
    private readonly HttpClient _http;

    public ApiConnection(StreamServiceClientOptions options)
    {
        Options = options;
        _timeout = options.Timeout;
        Transport = options.CreateTransport();
        var address = options.BaseAddress.AbsoluteUri;
        BaseAddress = new Uri(address.EndsWith('/') ? address : address + "/");
        // Each call has a limit of its own.
        _http = new HttpClient(Transport) { BaseAddress = BaseAddress, Timeout = Timeout.InfiniteTimeSpan };
    }

    public StreamServiceClientOptions Options { get; }

    public HttpMessageHandler Transport { get; }

    /// <summary>Ends with a slash.</summary>
    public Uri BaseAddress { get; }

    public async Task<T> GetAsync<T>(Address address, CancellationToken cancellationToken, TimeSpan wait = default) =>
        await SendAsync<T>(HttpMethod.Get, address, body: null, cancellationToken, wait: wait);

    public async Task<T> SendAsync<T>(HttpMethod method, Address address, object? body, CancellationToken cancellationToken, string? idempotencyKey = null, TimeSpan wait = default)
    {
        using var limit = Limit(wait, cancellationToken);
        using var answer = await AskAsync(method, address, body, idempotencyKey, limit, cancellationToken);
        try
        {
            return await answer.Content.ReadFromJsonAsync<T>(ApiJson.Options, limit.Token)
                ?? throw new JsonException("The answer is null.");
        }
        catch (Exception unreadable) when (unreadable is JsonException or NotSupportedException)
        {
            throw new HttpRequestException($"{address} answered what is not the service's: {unreadable.Message}", unreadable, answer.StatusCode);
        }
    }

    /// <summary>For calls whose answer has no body.</summary>
    public async Task SendAsync(HttpMethod method, Address address, CancellationToken cancellationToken)
    {
        using var limit = Limit(default, cancellationToken);
        (await AskAsync(method, address, body: null, idempotencyKey: null, limit, cancellationToken)).Dispose();
    }

    /// <summary>All items of a list, asked for page by page as they are wanted.</summary>
    public async IAsyncEnumerable<T> ListAsync<T>(Address address, int pageSize, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        string? cursor = null;
        do
        {
            var page = await GetAsync<Page<T>>(address.With("limit", pageSize.ToString(CultureInfo.InvariantCulture)).With("cursor", cursor), cancellationToken);
            foreach (var item in page.Items)
                yield return item;
            cursor = page.NextCursor;
        }
        while (cursor is not null);
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Sends a request; its answer is a success.</summary>
    private async Task<HttpResponseMessage> AskAsync(HttpMethod method, Address address, object? body, string? idempotencyKey, CancellationTokenSource limit, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, address.ToString());
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/problem+json"));
        if (Options.Credential is { } ask && await ask(cancellationToken) is { Length: > 0 } credential)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
        if (idempotencyKey is not null)
            request.Headers.Add("Idempotency-Key", idempotencyKey);
        if (body is not null)
            request.Content = JsonContent.Create(body, body.GetType(), mediaType: null, ApiJson.Options);
        try
        {
            var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
            if (answer.IsSuccessStatusCode)
                return answer;
            using (answer)
                throw await StreamServiceException.ReadAsync(answer, Options.Time, limit.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HttpRequestException(HttpRequestError.ConnectionError, $"{method} {address} was not answered in time.");
        }
    }

    private CancellationTokenSource Limit(TimeSpan wait, CancellationToken cancellationToken)
    {
        var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(_timeout + wait);
        return limit;
    }

    /// <summary>One page of a list.</summary>
    private sealed record Page<T> : ApiRecord
    {
        public IReadOnlyList<T> Items { get; init; } = [];

        public string? NextCursor { get; init; }
    }
}

/// <summary>A relative address; its parts are encoded.</summary>
internal readonly record struct Address
{
    private readonly string _text;

    private Address(string text) => _text = text;

    /// <param name="segments">Of the path.</param>
    /// <exception cref="ArgumentException">One of them would lead elsewhere.</exception>
    public static Address Of(params ReadOnlySpan<string> segments)
    {
        var text = new StringBuilder();
        foreach (var segment in segments)
        {
            // An address of ".." is that of what is above.
            if (segment is "" or "." or "..")
                throw new ArgumentException($"'{segment}' names nothing.", nameof(segments));
            if (text.Length > 0)
                text.Append('/');
            text.Append(Uri.EscapeDataString(segment));
        }
        return new Address(text.ToString());
    }

    /// <summary>With another member of the query; null adds none.</summary>
    public Address With(string name, string? value) =>
        value is null ? this : new Address($"{_text}{(_text.Contains('?', StringComparison.Ordinal) ? '&' : '?')}{name}={Uri.EscapeDataString(value)}");

    /// <inheritdoc cref="With(string, string?)"/>
    public Address With<T>(string name, T? value)
        where T : struct, Enum => With(name, value is { } given ? EnumNames.Of(given) : null);

    /// <summary>With each of the values.</summary>
    public Address WithAll<T>(string name, IEnumerable<T> values)
        where T : struct, Enum =>
        values.Aggregate(this, (address, value) => address.With(name, EnumNames.Of(value)));

    public override string ToString() => _text;
}
