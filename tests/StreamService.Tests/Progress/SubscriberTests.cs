using System.Collections.Concurrent;
using StreamService.Progress;
using StreamService.Security;

namespace StreamService.Tests.Progress;

/// <summary>What is on its way to one connection, when the connection takes it slowly.</summary>
public sealed class SubscriberTests : IDisposable
{
    private readonly ConcurrentQueue<string> _sent = new();
    private readonly SemaphoreSlim _ready = new(0);
    private readonly Subscriber _subscriber;
    private int _aborts;

    public SubscriberTests() =>
        _subscriber = new Subscriber(new Caller("anybody", [], [], []), new Silent(), () => _aborts++);

    [Fact]
    public async Task Changes_come_first_and_all_of_progress_the_latest_and_nothing_overtakes_its_own()
    {
        var (one, two) = (Guid.NewGuid(), Guid.NewGuid());
        // The connection is busy with this one while the others come.
        Change(one, "one begins");
        Progress(one, "one at 1");
        Progress(two, "two at 1");
        Progress(one, "one at 2");
        Change(two, "two pauses");
        Progress(one, "one at 3");
        _ready.Release(100);
        await _subscriber.WhenSentAsync();
        Assert.Equal(["one begins", "two pauses", "one at 3"], _sent);

        // It was at rest, and goes on.
        Progress(two, "two at 2");
        await _subscriber.WhenSentAsync();
        Assert.Equal("two at 2", _sent.Last());
    }

    [Fact]
    public void A_connection_that_takes_nothing_is_ended_before_it_fills_the_memory()
    {
        for (var i = 0; i < 20_000; i++)
            Change(Guid.NewGuid(), "change");
        Assert.Equal(1, _aborts);
    }

    public void Dispose() => _ready.Dispose();

    private void Change(Guid of, string what) => _subscriber.Post(new HubPicture(of, AtOnce: true, _ => SendAsync(what)));

    private void Progress(Guid of, string what) => _subscriber.Post(new HubPicture(of, AtOnce: false, _ => SendAsync(what)));

    private async Task SendAsync(string what)
    {
        await _ready.WaitAsync();
        _sent.Enqueue(what);
    }

    private sealed class Silent : IStreamClient
    {
        public Task StreamProgress(WrittenJson status) => Task.CompletedTask;

        public Task StreamStateChanged(WrittenJson status) => Task.CompletedTask;

        public Task MigrationChanged(WrittenJson migration) => Task.CompletedTask;
    }
}
