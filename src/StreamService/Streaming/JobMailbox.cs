using System.Threading.Channels;

namespace StreamService.Streaming;

/// <summary>Requests to the one task that owns a job's state. Everybody posts; that task alone serves.</summary>
internal sealed class JobMailbox
{
    private readonly Channel<Func<Task>> _requests = Channel.CreateUnbounded<Func<Task>>();
    private Task _arrival = Task.CompletedTask;

    /// <summary>Completes when there is something to serve. For the serving task only.</summary>
    public Task Arrival() => _arrival.IsCompleted ? _arrival = _requests.Reader.WaitToReadAsync(CancellationToken.None).AsTask() : _arrival;

    /// <summary>Serves all that there is. For the serving task only.</summary>
    public async Task ServeAsync()
    {
        while (_requests.Reader.TryRead(out var request))
            await request();
    }

    /// <summary>Waits for something to serve, and serves it.</summary>
    public async Task ServeNextAsync()
    {
        await Arrival();
        await ServeAsync();
    }

    /// <summary>Serves until something else has ended, well or not.</summary>
    public async Task ServeUntilAsync(Task end)
    {
        while (!end.IsCompleted)
        {
            await Task.WhenAny(end, Arrival());
            await ServeAsync();
        }
    }

    /// <summary>Has the serving task look around.</summary>
    public void Wake() => _requests.Writer.TryWrite(() => Task.CompletedTask);

    /// <summary>Returns when the request was served, with its exception; at once where nobody serves any more.</summary>
    public async Task PostAsync(Func<Task> request)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!_requests.Writer.TryWrite(async () =>
        {
            try
            {
                await request();
                done.SetResult();
            }
            catch (Exception exception)
            {
                done.SetException(exception);
            }
        }))
            return;
        await done.Task;
    }

    /// <summary>Takes no more requests; those that came before are still to be served.</summary>
    public void Close() => _requests.Writer.TryComplete();
}
