using System.Net;
using StreamService.Client;
using StreamService.IntegrationTests.Harness;
using Problem = StreamService.IntegrationTests.Harness.Problem;

namespace StreamService.IntegrationTests.Api;

/// <summary>One request sent twice, or by ten callers at the same moment.</summary>
[Trait("Category", "Slow")]
public sealed class IdempotencyTests(SharedService shared)
{
    private static readonly object Slow = new { mode = "full", bandwidth = 1 << 20 };

    [Fact]
    public async Task The_same_key_answers_as_the_first_time_did_also_after_the_end()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var key = Guid.NewGuid().ToString();
        var first = await PostAsync(service, domain, key, Slow);
        Assert.Equal((HttpStatusCode.Accepted, $"{ServiceProcess.DiskUrl(domain)}/status"), (first.Status, first.Location));

        await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > 0);
        Assert.Equal(first, await PostAsync(service, domain, key, Slow));
        var disk = service.Client.Disk(domain.Id, "vda");
        await disk.CancelAsync();
        await disk.WaitForEndAsync();
        Assert.Equal(first, await PostAsync(service, domain, key, Slow));
        Assert.Single(await StreamsAsync(service, domain));
    }

    [Fact]
    public async Task A_step_with_a_key_is_made_once()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var key = Guid.NewGuid().ToString();
        var step = new { mode = "single", offset = 1 << 20 };
        var first = await PostAsync(service, domain, key, step);
        Assert.Equal((HttpStatusCode.OK, null), (first.Status, first.Location));
        Assert.Contains("\"populated\":65536", first.Body, StringComparison.Ordinal);
        Assert.Equal(first, await PostAsync(service, domain, key, step));
        Assert.Contains("\"populated\":0", (await PostAsync(service, domain, Guid.NewGuid().ToString(), step)).Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_key_whose_request_failed_may_be_used_again()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var key = Guid.NewGuid().ToString();
        var refused = await PostAsync(service, domain, key, new { mode = "full", @base = "/no/such/image" });
        Assert.Equal(HttpStatusCode.Conflict, refused.Status);
        Assert.Equal(HttpStatusCode.Accepted, (await PostAsync(service, domain, key, Slow)).Status);
    }

    [Fact]
    public async Task Ten_at_once_with_one_key_start_one_stream_and_are_answered_alike()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var key = Guid.NewGuid().ToString();
        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => PostAsync(service, domain, key, Slow)));
        Assert.Equal(HttpStatusCode.Accepted, Assert.Single(answers.Distinct()).Status);
        Assert.Single(await StreamsAsync(service, domain));
    }

    [Fact]
    public async Task Of_ten_at_once_without_a_key_one_is_accepted_and_nine_are_told_that_it_is_active()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20, middle: false);
        var service = await shared.StartedAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => service.StreamAsync(domain, Slow)));
        Assert.Single(answers, answer => answer.StatusCode == HttpStatusCode.Accepted);
        foreach (var answer in answers.Where(answer => answer.StatusCode != HttpStatusCode.Accepted))
            await Problem.AssertAsync(answer, 409, "stream-active");
        Assert.Single(await StreamsAsync(service, domain));
        Array.ForEach(answers, answer => answer.Dispose());
    }

    private sealed record Answer(HttpStatusCode Status, string? Location, string? MediaType, string Body);

    private static async Task<Answer> PostAsync(ServiceProcess service, TestDomain domain, string key, object body)
    {
        using var answer = await Problem.PostWithKeyAsync(service.Http, $"{ServiceProcess.DiskUrl(domain)}/stream", key, body);
        return new Answer(answer.StatusCode, answer.Headers.Location?.OriginalString, answer.Content.Headers.ContentType?.ToString(), await answer.Content.ReadAsStringAsync());
    }

    private static async Task<List<StreamStatus>> StreamsAsync(ServiceProcess service, TestDomain domain) =>
        await service.Client.ListStreamsAsync(new StreamFilter { Domain = domain.Id.ToString() }).ToListAsync();
}
