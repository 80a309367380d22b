using System.Runtime.CompilerServices;

namespace StreamService.Client;

/// <summary>
/// The service's HTTP API and hub. Safe for use by many at once; one for the lifetime of a program is enough.
/// What the service refuses is a <see cref="StreamServiceException"/>; where it cannot be reached, or does not answer in time, an
/// <see cref="HttpRequestException"/>.
/// </summary>
/// <example>
/// <code>
/// using var service = new StreamServiceClient("http://127.0.0.1:5080");
/// var disk = service.Disk("web1", "vda");
/// await disk.StartAsync(new StreamOptions { Bandwidth = 50 &lt;&lt; 20 });
/// await foreach (var update in service.WatchAsync(new StreamSubscription(Domain: "web1")))
///     Console.WriteLine($"{update.Status.State} {update.Status.BytesRemaining}");
/// </code>
/// </example>
public sealed partial class StreamServiceClient : IDisposable
{
    /// <summary>Items of a page, unless told otherwise: what the service answers at once.</summary>
    public const int DefaultPageSize = 100;

    private readonly ApiConnection _api;

    /// <param name="address">As <see cref="StreamServiceClientOptions.Parse"/> reads it.</param>
    /// <param name="apiKey">An API key or token; null for a service without authentication.</param>
    public StreamServiceClient(string address, string? apiKey = null) : this(StreamServiceClientOptions.Parse(address, apiKey))
    {
    }

    /// <param name="options">Where the service is, and who calls.</param>
    public StreamServiceClient(StreamServiceClientOptions options) => _api = new ApiConnection(options);

    /// <summary>A disk, by which it is streamed. Nothing is asked yet.</summary>
    /// <param name="domain">The domain's UUID, or its name where one host only has it.</param>
    /// <param name="path">The disk's target, or its source.</param>
    public DiskClient Disk(string domain, string path) => new(_api, domain, path);

    /// <inheritdoc cref="Disk(string, string)"/>
    public DiskClient Disk(Guid domain, string path) => new(_api, domain.ToString(), path);

    /// <summary>All hosts, with the state of the connection to each.</summary>
    public Task<IReadOnlyList<Host>> GetHostsAsync(CancellationToken cancellationToken = default) =>
        _api.GetAsync<IReadOnlyList<Host>>(Address.Of("hosts"), cancellationToken);

    /// <summary>The domains of all hosts that can be reached, by host and name.</summary>
    /// <param name="filter">Only those.</param>
    /// <param name="pageSize">How many are asked for at once, 1 to 1000.</param>
    /// <param name="cancellationToken">Ends the list.</param>
    public IAsyncEnumerable<Domain> ListDomainsAsync(DomainFilter? filter = null, int pageSize = DefaultPageSize, CancellationToken cancellationToken = default) =>
        _api.ListAsync<Domain>(Address.Of("domains").With("host", filter?.Host).With("state", filter?.State), pageSize, cancellationToken);

    /// <summary>One domain.</summary>
    /// <param name="domain">Its UUID, or its name where one host only has it.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Domain> GetDomainAsync(string domain, CancellationToken cancellationToken = default) =>
        _api.GetAsync<Domain>(Address.Of("domains", domain), cancellationToken);

    /// <summary>Deploys a domain from a central image; answers when it runs.</summary>
    /// <param name="deployment">What, from which image, where.</param>
    /// <param name="idempotencyKey">The same key and deployment answer as the first time did.</param>
    /// <param name="cancellationToken">Ends the wait, not the deployment.</param>
    public Task<Domain> DeployAsync(DeploymentOptions deployment, string? idempotencyKey = null, CancellationToken cancellationToken = default) =>
        _api.SendAsync<Domain>(HttpMethod.Post, Address.Of("domains"), deployment, cancellationToken, idempotencyKey, wait: LongestDeployment);

    /// <summary>Stops and removes a domain that the service deployed.</summary>
    /// <param name="domain">Its UUID, or its name where one host only has it.</param>
    /// <param name="storage">Whether its overlay is deleted too.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task RemoveDomainAsync(string domain, bool storage = false, CancellationToken cancellationToken = default) =>
        _api.SendAsync(HttpMethod.Delete, Address.Of("domains", domain).With("storage", storage ? "true" : null), cancellationToken);

    /// <summary>Streams, also those that are over; the newest first unless told otherwise.</summary>
    /// <param name="filter">Only those.</param>
    /// <param name="sort">What they are sorted by; null: when they were begun.</param>
    /// <param name="direction">null: names from the first letter, the soonest end first, all else from the newest or the largest.</param>
    /// <param name="pageSize">How many are asked for at once, 1 to 1000.</param>
    /// <param name="cancellationToken">Ends the list.</param>
    public async IAsyncEnumerable<StreamStatus> ListStreamsAsync(
        StreamFilter? filter = null, StreamSort? sort = null, SortDirection? direction = null, int pageSize = DefaultPageSize, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        filter ??= new StreamFilter();
        // Words and ids may be asked for together.
        var search = filter.Search;
        if (filter.Domain is { } domain)
            search = $"{(Guid.TryParse(domain, out var id) ? id : (await GetDomainAsync(domain, cancellationToken)).Id)} {search}".TrimEnd();
        var streams = Address.Of("streams").WithAll("state", filter.States).With("host", filter.Host).With("q", search).With("latest", filter.LatestOnly ? "true" : null)
            .With("sort", sort).With("direction", direction);
        await foreach (var status in _api.ListAsync<StreamStatus>(streams, pageSize, cancellationToken))
            yield return status;
    }

    /// <summary>What streams add up to, all and by host.</summary>
    /// <param name="host">Only those of this host.</param>
    /// <param name="search">As <see cref="StreamFilter.Search"/>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<StreamSummary> GetSummaryAsync(string? host = null, string? search = null, CancellationToken cancellationToken = default) =>
        _api.GetAsync<StreamSummary>(Address.Of("streams", "summary").With("host", host).With("q", search), cancellationToken);

    /// <summary>One stream, also long after its end.</summary>
    /// <param name="streamId">Its id.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<StreamStatus> GetStreamAsync(Guid streamId, CancellationToken cancellationToken = default) =>
        _api.GetAsync<StreamStatus>(Address.Of("streams", streamId.ToString()), cancellationToken);

    /// <summary>What became of a stream: each change of its state that is still on record, the oldest first.</summary>
    /// <param name="streamId">Its id.</param>
    /// <param name="pageSize">How many are asked for at once, 1 to 1000.</param>
    /// <param name="cancellationToken">Ends the list.</param>
    public IAsyncEnumerable<StreamEvent> ListEventsAsync(Guid streamId, int pageSize = DefaultPageSize, CancellationToken cancellationToken = default) =>
        _api.ListAsync<StreamEvent>(Address.Of("streams", streamId.ToString(), "events"), pageSize, cancellationToken);

    /// <summary>Ends all requests.</summary>
    public void Dispose() => _api.Dispose();

    /// <summary>A guest's image may be far away: the service answers once the domain runs.</summary>
    private static readonly TimeSpan LongestDeployment = TimeSpan.FromMinutes(10);
}
