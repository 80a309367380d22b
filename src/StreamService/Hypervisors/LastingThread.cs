using System.Collections.Concurrent;

namespace StreamService.Hypervisors;

/// <summary>
/// A thread that lives as long as this process. A child that asked for a signal at its parent's end (PR_SET_PDEATHSIG) gets it when
/// the <i>thread</i> that forked it ends, and those of the pool go after 20 s without work.
/// </summary>
internal static class LastingThread
{
    private static readonly BlockingCollection<Action> Calls = [];

    static LastingThread() => new Thread(() =>
    {
        foreach (var call in Calls.GetConsumingEnumerable())
            call();
    })
    {
        IsBackground = true,
        Name = "lasting",
    }.Start();

    /// <summary>Runs a call there.</summary>
    public static Task<T> RunAsync<T>(Func<T> call)
    {
        var result = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Calls.Add(() =>
        {
            try
            {
                result.SetResult(call());
            }
            catch (Exception exception)
            {
                result.SetException(exception);
            }
        });
        return result.Task;
    }
}
