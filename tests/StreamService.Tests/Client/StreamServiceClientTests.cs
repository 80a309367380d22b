using System.Net;
using System.Net.Http.Headers;
using System.Text;
using StreamService.Client;

namespace StreamService.Tests.Client;

/// <summary>What the client asks for, and what it makes of answers that are not today's service's.</summary>
public sealed class StreamServiceClientTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Names_are_encoded_and_a_proxys_path_stays()
    {
        var (client, asked) = Answering("""{"target": "vda"}""", new Uri("https://proxy.example/streams"));
        await client.Disk("my domain", "/var/lib/a b.qcow2").GetAsync(Token);
        Assert.Equal("https://proxy.example/streams/domains/my%20domain/disks/%2Fvar%2Flib%2Fa%20b.qcow2", asked.Single().Address);
        await Assert.ThrowsAsync<ArgumentException>(() => client.GetDomainAsync("..", Token));
    }

    [Fact]
    public async Task What_a_newer_service_adds_is_kept_and_does_not_disturb()
    {
        var (client, _) = Answering("""{"state": "levitating", "size": 7, "guestMood": "good", "error": {"code": "x", "more": [1]}}""");
        var status = await client.Disk("d", "vda").GetStatusAsync(Token);
        Assert.Equal((StreamState.Unknown, 7L, "good", "x"), (status.State, status.Size, status.Other!["guestMood"].GetString(), status.Error!.Code));
    }

    [Fact]
    public async Task A_refusal_tells_its_code_every_fault_and_when_to_come_back()
    {
        var (client, _) = Answering("""{"code": "invalid-request", "title": "T", "detail": "D", "errors": {"offset": ["a", "b"], "": ["c"]}}""", status: HttpStatusCode.BadRequest,
            head: answer => answer.Headers.RetryAfter = new RetryConditionHeaderValue(TimeSpan.FromSeconds(7)));
        var refused = await Assert.ThrowsAsync<StreamServiceException>(() => client.GetHostsAsync(Token));
        Assert.Equal(("invalid-request", HttpStatusCode.BadRequest, "D", TimeSpan.FromSeconds(7)), (refused.Code, refused.Status, refused.Message, refused.RetryAfter));
        Assert.Equal(["offset: a b", ": c"], refused.Errors.Select(error => $"{error.Key}: {string.Join(' ', error.Value)}"));
    }

    [Theory]
    [InlineData("<html>Bad Gateway</html>")]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("null")]
    public async Task A_refusal_of_something_between_is_told_as_such(string body)
    {
        var (client, _) = Answering(body, status: HttpStatusCode.BadGateway);
        var refused = await Assert.ThrowsAsync<StreamServiceException>(() => client.GetHostsAsync(Token));
        Assert.Equal(("", HttpStatusCode.BadGateway), (refused.Code, refused.Status));
        Assert.Contains("502", refused.Problem.Title, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<html>Welcome</html>")]
    [InlineData("null")]
    public async Task A_success_that_is_not_the_services_is_no_answer(string body)
    {
        var (client, _) = Answering(body);
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetHostsAsync(Token));
    }

    [Fact]
    public async Task A_list_is_asked_for_page_by_page_as_it_is_wanted()
    {
        var asked = new List<string>();
        using var client = new StreamServiceClient(new StreamServiceClientOptions
        {
            Transport = new Scripted(request =>
            {
                asked.Add(request.RequestUri!.Query);
                return asked.Count == 1 ? """{"items": [{"name": "a"}, {"name": "b"}], "nextCursor": "x=/+"}""" : """{"items": [{"name": "c"}], "nextCursor": null}""";
            }),
        });
        Assert.Equal("a", (await client.ListDomainsAsync(pageSize: 2, cancellationToken: Token).FirstAsync(Token)).Name);
        Assert.Single(asked);
        asked.Clear();
        Assert.Equal(["a", "b", "c"], await client.ListDomainsAsync(new DomainFilter { State = DomainState.ShutOff }, pageSize: 2, Token).Select(domain => domain.Name).ToListAsync(Token));
        Assert.Equal(["?state=shutOff&limit=2", "?state=shutOff&limit=2&cursor=x%3D%2F%2B"], asked);
    }

    [Fact]
    public async Task A_list_of_streams_is_asked_for_with_all_that_it_is_about()
    {
        var (client, asked) = Answering("""{"items": [], "nextCursor": null}""");
        var domain = Guid.NewGuid();
        await client.ListStreamsAsync(cancellationToken: Token).ToListAsync(Token);
        await client.ListStreamsAsync(
            new StreamFilter { States = [StreamState.Waiting, StreamState.Failed], Host = "h 1", Domain = domain.ToString(), Search = "web vda", LatestOnly = true },
            StreamSort.Remaining, SortDirection.Asc, cancellationToken: Token).ToListAsync(Token);
        await client.ListStreamsAsync(new StreamFilter { Domain = domain.ToString() }, cancellationToken: Token).ToListAsync(Token);
        Assert.Equal(
            ["?limit=100", $"?state=waiting&state=failed&host=h%201&q={domain}%20web%20vda&latest=true&sort=remaining&direction=asc&limit=100", $"?q={domain}&limit=100"],
            asked.Select(request => new Uri(request.Address).Query));
    }

    [Fact]
    public async Task A_request_says_what_was_set_and_nothing_else()
    {
        var (client, asked) = Answering("{}", credential: "ssk_secret");
        var disk = client.Disk("d", "vda");
        await disk.StartAsync(new StreamOptions { Bandwidth = 0, Order = StreamOrder.HotFirst }, idempotencyKey: "k", cancellationToken: Token);
        await disk.StepAsync(512, cancellationToken: Token);
        await disk.PauseAsync(Token);
        Assert.Equal(
            ["""POST {"bandwidth":0,"order":"hotFirst","mode":"full"} k""", """POST {"mode":"single","offset":512} """, """PATCH {"state":"paused"} """],
            asked.Select(request => $"{request.Method} {request.Body} {request.Key}"));
        Assert.All(asked, request => Assert.Equal("Bearer ssk_secret", request.Authorization));
    }

    [Fact]
    public async Task A_service_that_says_nothing_is_given_up()
    {
        using var client = new StreamServiceClient(new StreamServiceClientOptions { Timeout = TimeSpan.FromMilliseconds(50), Transport = new Silent() });
        Assert.Contains("not answered in time", (await Assert.ThrowsAsync<HttpRequestException>(() => client.GetHostsAsync(Token))).Message, StringComparison.Ordinal);
        using var own = CancellationTokenSource.CreateLinkedTokenSource(Token);
        own.CancelAfter(1);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.Disk("d", "vda").WaitForGenerationAsync(1, TimeSpan.FromMinutes(1), own.Token));
    }

    [Theory]
    [InlineData("http://h:5080", "http://h:5080/", null)]
    [InlineData("https://h/a/b", "https://h/a/b", null)]
    [InlineData("unix:/run/s.sock", "http://localhost/", "/run/s.sock")]
    [InlineData("unix:///run/s.sock", "http://localhost/", "/run/s.sock")]
    public void An_address_is_read_as_people_write_it(string text, string address, string? socket)
    {
        var options = StreamServiceClientOptions.Parse(text);
        Assert.Equal((address, socket), (options.BaseAddress.AbsoluteUri, options.UnixSocket));
    }

    [Theory]
    [InlineData("h:5080")]
    [InlineData("localhost")]
    [InlineData("ftp://h")]
    [InlineData("unix:relative.sock")]
    [InlineData("")]
    public void What_is_no_address_is_refused(string text) => Assert.Throws<FormatException>(() => StreamServiceClientOptions.Parse(text));

    private sealed record Asked(string Method, string Address, string? Body, string? Key, string? Authorization);

    private static (StreamServiceClient Client, List<Asked> Requests) Answering(string body, Uri? address = null, HttpStatusCode status = HttpStatusCode.OK, Action<HttpResponseMessage>? head = null, string? credential = null)
    {
        var asked = new List<Asked>();
        var client = new StreamServiceClient(new StreamServiceClientOptions
        {
            BaseAddress = address ?? new Uri("http://localhost"),
            Credential = _ => ValueTask.FromResult(credential),
            Transport = new Scripted(request =>
            {
                asked.Add(new Asked(request.Method.Method, request.RequestUri!.AbsoluteUri, request.Content?.ReadAsStringAsync().GetAwaiter().GetResult(),
                    request.Headers.TryGetValues("Idempotency-Key", out var keys) ? keys.Single() : null, request.Headers.Authorization?.ToString()));
                return body;
            })
            { Status = status, Head = head },
        });
        return (client, asked);
    }

    private sealed class Scripted(Func<HttpRequestMessage, string> answer) : HttpMessageHandler
    {
        public HttpStatusCode Status { get; init; } = HttpStatusCode.OK;

        public Action<HttpResponseMessage>? Head { get; init; }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = new HttpResponseMessage(Status) { Content = new StringContent(answer(request), Encoding.UTF8, "application/json") };
            Head?.Invoke(response);
            return Task.FromResult(response);
        }
    }

    private sealed class Silent : HttpMessageHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            throw new System.Diagnostics.UnreachableException();
        }
    }
}
