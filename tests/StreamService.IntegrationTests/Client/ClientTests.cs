using StreamService.Client;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Client;

/// <summary>The client library against the real service.</summary>
public sealed class ClientTests(SharedService shared)
{
    private const long MiB = 1 << 20;

    [Fact]
    public async Task A_stream_is_begun_and_watched_to_its_end()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB);
        var client = (await shared.StartedAsync()).Client;
        var disk = client.Disk(domain.Name, domain.Disk);
        Assert.Equal(["vda"], (await client.GetDomainAsync(domain.Id.ToString())).Disks.Select(one => one.Target));
        Assert.Equal(StreamState.Idle, (await disk.GetStatusAsync()).State);
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(1));

        var key = Guid.NewGuid().ToString();
        var begun = await disk.StartAsync(new StreamOptions { Bandwidth = MiB, Priority = StreamPriority.High }, key);
        Assert.Equal(begun.StreamId, (await disk.StartAsync(new StreamOptions { Bandwidth = MiB, Priority = StreamPriority.High }, key)).StreamId);
        var updates = new List<StreamUpdate>();
        await foreach (var update in client.WatchAsync(new StreamSubscription(Domain: domain.Name), deadline.Token))
        {
            updates.Add(update);
            if (updates.Count == 1)
                await disk.WaitForAsync(status => status.State == StreamState.Running, deadline.Token);
            if (update is { Status.State: StreamState.Running, Status.Bandwidth: MiB })
                await disk.ChangeAsync(new StreamChange { Bandwidth = 0 }, deadline.Token);
            if (update.Status.IsOver)
                break;
        }
        Assert.Equal(StreamUpdateKind.Snapshot, updates[0].Kind);
        Assert.Equal(updates.Select(update => update.Status.Generation).Distinct().Order(), updates.Select(update => update.Status.Generation));
        var end = await client.GetStreamAsync(begun.StreamId!.Value);
        Assert.Equal((StreamState.Completed, updates[^1].Status.Generation, end.BytesStreamed), (end.State, end.Generation, end.BytesDurable));
        // Nothing that the service tells is unknown to its own library, but for what was added since.
        Assert.Contains(begun.StreamId, await client.ListStreamsAsync(new StreamFilter { Domain = domain.Name }).Select(status => status.StreamId).ToListAsync());
    }

    [Fact]
    public async Task A_refusal_is_an_exception_with_all_that_the_service_said()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        var client = (await shared.StartedAsync()).Client;
        var disk = client.Disk(domain.Id, "vda");
        await disk.StartAsync(new StreamOptions { Bandwidth = 64 << 10 });
        var active = await Assert.ThrowsAsync<StreamServiceException>(() => disk.StartAsync());
        Assert.Equal(("stream-active", $"/domains/{domain.Id}/disks/vda/status"), (active.Code, active.Problem.StatusUrl));
        await disk.CancelAsync();
        Assert.Equal(StreamState.Cancelled, (await disk.WaitForEndAsync()).State);

        var invalid = await Assert.ThrowsAsync<StreamServiceException>(() => disk.StartAsync(new StreamOptions { Bandwidth = -1, TargetLatencyMs = 0 }));
        Assert.Equal(["bandwidth", "targetLatencyMs"], invalid.Errors.Keys.Order());
    }

    [Fact]
    public async Task A_watch_needs_a_key_where_calls_do()
    {
        await using var service = await ServiceProcess.StartAsync(guarded: true);
        using var nobody = new StreamServiceClient(service.Server);
        Assert.Equal("unauthorized", (await Assert.ThrowsAsync<StreamServiceException>(() => nobody.GetHostsAsync())).Code);
        Assert.Equal("unauthorized", (await Assert.ThrowsAsync<StreamServiceException>(() => nobody.ConnectHubAsync())).Code);
        using var reader = new StreamServiceClient(service.Server, ServiceProcess.ReaderKey);
        await using var watch = await reader.ConnectHubAsync();
        Assert.Empty(await watch.SubscribeAsync());
    }

    [Fact]
    [Trait("Category", "Slow")]
    public async Task A_watch_rides_out_the_death_of_the_service_and_never_goes_back()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        await using var service = await ServiceProcess.StartAsync();
        var disk = service.Client.Disk(domain.Id, "vda");
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        await using var watch = await service.Client.ConnectHubAsync(deadline.Token);
        var connection = new List<WatchState>();
        watch.StateChanged += (state, _) => connection.Add(state);
        Assert.Empty(await watch.SubscribeAsync(new StreamSubscription(Domain: domain.Name), deadline.Token));
        await disk.StartAsync(new StreamOptions { Bandwidth = MiB });

        var updates = new List<StreamUpdate>();
        var (killed, hurried) = (false, false);
        await foreach (var update in watch.ReadStreamsAsync(deadline.Token))
        {
            updates.Add(update);
            if (!killed && update.Kind == StreamUpdateKind.Progress)
            {
                killed = true;
                await service.KillAsync();
                await service.StartAgainAsync();
            }
            else if (killed && !hurried && update.Status is { State: StreamState.Running, Bandwidth: MiB })
            {
                // Once: what comes after may be from before, and the stream over by then.
                hurried = true;
                await disk.ChangeAsync(new StreamChange { Bandwidth = 0 }, deadline.Token);
            }
            if (update.Status.IsOver)
                break;
        }
        Assert.Equal(StreamState.Completed, updates[^1].Status.State);
        Assert.Contains(updates.Skip(1), update => update.Kind == StreamUpdateKind.Snapshot);
        Assert.Equal(updates.Select(update => update.Status.Generation).Distinct().Order(), updates.Select(update => update.Status.Generation));
        Assert.Equal([WatchState.Reconnecting, WatchState.Connected], connection);
    }
}
