using System.Text.Json;
using Microsoft.AspNetCore.SignalR;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Api;

/// <summary>Watching over SignalR: a snapshot first, every state at once, progress at most four times a second.</summary>
[Trait("Category", "Slow")]
public sealed class HubTests(SharedService shared)
{
    private const long MiB = 1 << 20;

    [Fact]
    public async Task Every_state_of_a_streams_life_arrives_in_order_with_rising_generations()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB);
        var service = await shared.StartedAsync();
        await using var hub = await HubClient.ConnectAsync(service);
        Assert.Empty(await hub.SubscribeAsync(new { domain = domain.Id }));

        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = MiB });
        await service.WaitForStateAsync(domain, "running");
        await service.ChangeAsync(domain, new { state = "paused" });
        await service.ChangeAsync(domain, new { state = "running", bandwidth = 0 });
        var states = await hub.StatesUntilAsync("completed");
        Assert.Equal(["queued", "running", "paused", "running", "finalizing", "completed"], States(states));
        AssertRising(states);
        // The hub says what GET status says.
        Assert.Equal((await service.StatusAsync(domain)).GetRawText(), states[^1].GetRawText());
    }

    [Fact]
    public async Task Cancelled_and_failed_arrive_too()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        var service = await shared.StartedAsync();
        await using var hub = await HubClient.ConnectAsync(service);
        await hub.SubscribeAsync(new { domain = domain.Name });

        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 64 << 10 });
        await service.WaitForStateAsync(domain, "running");
        (await service.Http.DeleteAsync(new Uri($"{ServiceProcess.DiskUrl(domain)}/stream", UriKind.Relative))).Dispose();
        Assert.Equal(["queued", "running", "cancelled"], States(await hub.StatesUntilAsync("cancelled")));
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 64 << 10, onError = "report" });
        await service.WaitForStateAsync(domain, "running");

        await TestDomain.VirshAsync("destroy", domain.Name);
        await TestDomain.VirshAsync("undefine", domain.Name);
        var states = await hub.StatesUntilAsync("failed");
        Assert.Equal(["queued", "running"], States(states).Take(2));
        Assert.Equal("domain-not-found", states[^1].GetProperty("error").GetProperty("code").GetString());
        AssertRising(states);
    }

    [Fact]
    public async Task Progress_comes_at_most_four_times_a_second_and_the_latest_of_it()
    {
        await using var domain = await TestDomain.StartAsync(middle: false);
        var service = await shared.StartedAsync();
        await using var hub = await HubClient.ConnectAsync(service);
        await hub.SubscribeAsync(new { domain = domain.Id });
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 12 * MiB });
        await service.WaitForStateAsync(domain, "running");

        // Each change is a snapshot of its own.
        for (var i = 0; i < 60; i++)
            await service.ChangeAsync(domain, new { bandwidth = (12 * MiB) + i });
        await hub.StatesUntilAsync("completed");

        var progress = hub.Progress.ToArray();
        var seconds = TimeProvider.System.GetElapsedTime(progress[0].At, progress[^1].At).TotalSeconds;
        // Fence posts: n messages lie n - 1 intervals apart; one more for what the network holds up.
        Assert.InRange(progress.Length, 4, (seconds * 4) + 2);
        AssertRising(progress.Select(message => message.Status));
        Assert.Contains(progress, message => message.Status.GetProperty("bandwidth").GetInt64() == (12 * MiB) + 59);
        Assert.All(progress, message => Assert.Contains(message.Status.GetProperty("state").GetString(), new[] { "running", "finalizing" }));
    }

    [Fact]
    public async Task Who_watches_some_hears_of_their_progress_alone_and_of_every_state()
    {
        await using var one = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        await using var other = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        var service = await shared.StartedAsync();
        await using var hub = await HubClient.ConnectAsync(service);
        var first = await service.StartStreamAsync(one, new { mode = "full", bandwidth = MiB, policy = "fixed" });
        var second = await service.StartStreamAsync(other, new { mode = "full", bandwidth = MiB, policy = "fixed" });
        Assert.Empty(await hub.SubscribeAsync(new { progress = false, snapshots = false }));
        var (firstId, secondId) = (first.GetProperty("streamId").GetString()!, second.GetProperty("streamId").GetString()!);

        Assert.Equal(firstId, Assert.Single(await hub.WatchAsync(firstId, Guid.NewGuid().ToString())).GetProperty("streamId").GetString());
        await Shell.WaitForAsync("progress of the one", () => Task.FromResult(hub.Progress.Count >= 3));
        Assert.All(hub.Progress, message => Assert.Equal(firstId, message.Status.GetProperty("streamId").GetString()));

        // The next call takes the place of the one before.
        Assert.Equal(secondId, Assert.Single(await hub.WatchAsync(secondId)).GetProperty("streamId").GetString());
        var before = hub.Progress.Count;
        await Shell.WaitForAsync("progress of the other", () => Task.FromResult(hub.Progress.Count >= before + 3));
        Assert.All(hub.Progress.Skip(before), message => Assert.Equal(secondId, message.Status.GetProperty("streamId").GetString()));

        await service.HurryAsync(one);
        await service.HurryAsync(other);
        Assert.Equal("completed", (await hub.StatesUntilAsync("completed", one.Id))[^1].GetProperty("state").GetString());
        var refused = await Assert.ThrowsAsync<HubException>(() => hub.WatchAsync([.. Enumerable.Range(0, 501).Select(_ => Guid.NewGuid().ToString())]));
        Assert.Contains("At most 500", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_comes_late_gets_the_snapshot_first_and_misses_nothing_after_it()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        var service = await shared.StartedAsync();
        await service.StartStreamAsync(domain, new { mode = "full", bandwidth = MiB });
        await service.WaitForAsync(domain, "progress", status => status.GetProperty("bytesStreamed").GetInt64() > 0);

        await using var hub = await HubClient.ConnectAsync(service);
        var snapshot = Assert.Single(await hub.SubscribeAsync(new { domain = domain.Id, host = "local", disk = "vda" }));
        Assert.Equal("running", snapshot.GetProperty("state").GetString());
        await service.ChangeAsync(domain, new { bandwidth = 0 });

        var states = await hub.StatesUntilAsync("completed");
        Assert.Equal(["finalizing", "completed"], States(states));
        AssertRising(states.Prepend(snapshot));
        // Who comes when all is over still learns how it ended.
        await using var last = await HubClient.ConnectAsync(service);
        Assert.Equal("completed", Assert.Single(await last.SubscribeAsync(new { domain = domain.Name })).GetProperty("state").GetString());
    }

    [Fact]
    public async Task Subscribers_hear_of_what_they_asked_for_and_of_nothing_after_they_unsubscribe()
    {
        await using var one = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        await using var two = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        var service = await shared.StartedAsync();
        var clients = new List<(HubClient Hub, Guid[] Expected)>();
        foreach (var (subscription, expected) in new (object, Guid[])[]
        {
            (new { }, [one.Id, two.Id]),
            (new { host = "local" }, [one.Id, two.Id]),
            (new { host = "elsewhere" }, []),
            (new { domain = one.Id }, [one.Id]),
            (new { domain = one.Id.ToString().ToUpperInvariant() }, [one.Id]),
            (new { domain = two.Name }, [two.Id]),
            (new { domain = one.Id, disk = "vda" }, [one.Id]),
            (new { domain = one.Id, disk = "vdb" }, []),
            (new { domain = one.Id, host = "elsewhere" }, []),
        })
        {
            var client = await HubClient.ConnectAsync(service);
            await client.SubscribeAsync(subscription);
            clients.Add((client, expected));
        }
        // Two subscriptions of one client add up, and tell nothing twice.
        var both = await HubClient.ConnectAsync(service);
        await both.SubscribeAsync(new { domain = one.Id });
        await both.SubscribeAsync(new { domain = two.Name, disk = "vda" });
        await both.SubscribeAsync(new { domain = two.Id });
        clients.Add((both, [one.Id, two.Id]));
        var gone = await HubClient.ConnectAsync(service);
        await gone.SubscribeAsync(new { });
        await gone.UnsubscribeAsync();
        gone.Messages.Clear();
        clients.Add((gone, []));

        foreach (var domain in new[] { one, two })
        {
            await service.StartStreamAsync(domain);
            await clients[0].Hub.StatesUntilAsync("completed", domain.Id);
        }

        foreach (var (hub, expected) in clients)
        {
            await hub.UnsubscribeAsync();
            // Tests beside this one have streams, too.
            var ours = hub.Messages.Where(status => status.GetProperty("domain").GetGuid() is var id && (id == one.Id || id == two.Id)).ToList();
            foreach (var domain in new[] { one.Id, two.Id })
            {
                var states = ours.Where(status => status.GetProperty("domain").GetGuid() == domain).Select(status => status.GetProperty("state").GetString()).ToList();
                if (expected.Contains(domain))
                    Assert.Equal(["queued", "running", "finalizing", "completed"], states.Distinct());
                else
                    Assert.Empty(states);
                Assert.True(states.Count(state => state == "completed") <= 1);
            }
            await hub.DisposeAsync();
        }
    }

    [Fact]
    public async Task Subscriptions_are_read_as_strictly_as_requests()
    {
        var service = await shared.StartedAsync();
        await using var hub = await HubClient.ConnectAsync(service);
        foreach (var subscription in new object[] { new { dommain = "x" }, new { domain = 7 }, "vda" })
            await Assert.ThrowsAsync<HubException>(() => hub.SubscribeAsync(subscription));
        // The connection outlives it.
        Assert.Empty(await hub.SubscribeAsync(new { domain = "nobody" }));
    }

    private static IEnumerable<string?> States(IEnumerable<JsonElement> statuses) => statuses.Select(status => status.GetProperty("state").GetString());

    private static void AssertRising(IEnumerable<JsonElement> statuses)
    {
        var generations = statuses.Select(status => status.GetProperty("generation").GetInt64()).ToList();
        Assert.Equal(generations.Distinct().Order(), generations);
    }
}
