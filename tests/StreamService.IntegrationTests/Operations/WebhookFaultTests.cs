using Microsoft.Data.Sqlite;
using StreamService.IntegrationTests.Harness;
using StreamService.Tests.Webhooks;

namespace StreamService.IntegrationTests.Operations;

/// <summary>Webhooks while the service, or its database, goes away.</summary>
[Trait("Category", "Slow")]
public sealed class WebhookFaultTests
{
    [Fact]
    public async Task No_event_is_lost_where_the_service_is_killed_in_mid_delivery_and_the_database_is_away()
    {
        await using var listener = await WebhookListener.StartAsync();
        await using var domain = await TestDomain.StartAsync(middle: false);
        await using var traces = await TraceCollector.StartAsync();
        await using var service = await ServiceProcess.StartAsync(new(traces.Settings)
        {
            ["StreamService__Webhooks__0__Name"] = "audit",
            ["StreamService__Webhooks__0__Url"] = listener.Url,
            ["StreamService__Webhooks__0__Secret"] = listener.Secret,
            ["StreamService__Webhooks__0__RetryDelay"] = "00:00:00.1",
            ["StreamService__Webhooks__0__RetryDelayLimit"] = "00:00:01",
        });
        // It has the event, and is about to say so, when the service dies.
        var taken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        listener.Answer = (context, received) =>
        {
            if (received.Data.GetProperty("state").GetString() != "running")
                return Task.CompletedTask;
            taken.TrySetResult();
            return Task.Delay(Timeout.Infinite, context.RequestAborted);
        };
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 2 << 20 });
        await taken.Task.WaitAsync(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
        await service.KillAsync();
        var before = listener.Received;
        Assert.Equal(["queued", "running"], before.Select(one => one.Data.GetProperty("state").GetString()));

        listener.Answer = (_, _) => Task.CompletedTask;
        await service.StartAgainAsync();
        // Sent again, with the id that it had.
        var again = await listener.WaitForAsync(all => all.Count > before.Count);
        Assert.Equal(before[1].Id, again[2].Id);

        // Nobody can write the records of these; they are made up for.
        await using (var other = new SqliteConnection($"Data Source={service.Database};Pooling=False"))
        {
            await other.OpenAsync(TestContext.Current.CancellationToken);
            await using var locked = other.BeginTransaction(deferred: false);
            await service.ChangeAsync(domain, new { state = "paused" });
            await service.ChangeAsync(domain, new { state = "running" });
        }
        await service.HurryAsync(domain);
        await service.WaitForStateAsync(domain, "completed");

        var all = await listener.WaitForAsync(received => received.Any(one => one.Data.GetProperty("state").GetString() == "completed"));
        // A service that has just begun may wait for its host for a moment.
        var states = all.DistinctBy(one => one.Id).Select(one => one.Data.GetProperty("state").GetString()).Where(state => state != "waiting").ToList();
        Assert.Equal(["queued", "running", "paused", "running", "finalizing", "completed"], states.Where((state, i) => i == 0 || state != states[i - 1]));
        Assert.All(all, one => Assert.True(listener.IsSigned(one)));

        // The next service's part is in the trace of the request that the first one answered.
        await Shell.WaitForAsync("the job's span", () => Task.FromResult(traces.Spans.Any(span => span.Name == "stream.job")));
        var start = traces.Spans.Single(span => span.Name == "stream.start");
        Assert.Equal((start.Trace, start.Id), traces.Spans.Where(span => span.Name == "stream.job").Select(span => (span.Trace, span.Parent)).Single());
    }
}
