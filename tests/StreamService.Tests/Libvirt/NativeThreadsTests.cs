using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;
using StreamService.Qemu.Libvirt;

namespace StreamService.Tests.Libvirt;

public sealed class NativeThreadsTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(15);

    private readonly FakeTimeProvider _time = new();
    private readonly ManualResetEventSlim _hang = new();
    private readonly NativeThreads _threads;

    public NativeThreadsTests() => _threads = new NativeThreads(2, _time);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _hang.Set();
        _threads.Close();
    }

    [Fact]
    public async Task Calls_run_on_few_threads_that_are_not_the_pools()
    {
        var names = new ConcurrentDictionary<int, bool>();

        await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => RunAsync(
            () => names.TryAdd(Environment.CurrentManagedThreadId, Thread.CurrentThread.IsThreadPoolThread))));

        Assert.InRange(names.Count, 1, 2);
        Assert.DoesNotContain(true, names.Values);
    }

    [Fact]
    public async Task A_call_that_hangs_costs_its_caller_no_more_than_the_limit()
    {
        var started = new TaskCompletionSource();
        var hanging = RunAsync(() => Hang(started));
        await started.Task.WaitAsync(Token);

        _time.Advance(Limit);

        var error = await Assert.ThrowsAsync<LibvirtException>(() => hanging);
        Assert.Equal(LibvirtErrorCode.OperationTimeout, error.Code);
        Assert.True(error.IsCallTimeout);
        Assert.False(error.IsConnectionFailure);
        Assert.Equal(1, _threads.Stuck);
    }

    [Fact]
    public async Task Threads_that_hang_are_replaced_and_counted_until_they_return()
    {
        await HangAllAsync(2);
        Assert.Equal(2, _threads.Stuck);

        Assert.Equal(7, await RunAsync(() => 7).WaitAsync(Token));

        _hang.Set();
        await Until(() => _threads.Stuck == 0 && _threads.Threads <= 2);
        Assert.Equal(8, await RunAsync(() => 8).WaitAsync(Token));
    }

    [Fact]
    public async Task Replacing_has_a_bound_and_then_calls_end_in_the_queue()
    {
        var calls = 0;
        for (var i = 0; i < 40; i++)
        {
            var call = RunAsync(() =>
            {
                Interlocked.Increment(ref calls);
                return Hang(null);
            });
            await Until(() => call.IsCompleted || _threads.Threads == Volatile.Read(ref calls));
            _time.Advance(Limit);
            await Assert.ThrowsAsync<LibvirtException>(() => call);
        }

        Assert.InRange(_threads.Threads, NativeThreads.MaxStuck, NativeThreads.MaxStuck + 2);
    }

    [Fact]
    public async Task A_call_given_up_before_its_turn_is_never_made()
    {
        using var one = new CancellationTokenSource();
        var first = new TaskCompletionSource();
        var second = new TaskCompletionSource();
        var busy = new[] { RunAsync(() => Hang(first)), RunAsync(() => Hang(second)) };
        await Task.WhenAll(first.Task, second.Task).WaitAsync(Token);
        var made = false;
        var queued = _threads.RunAsync("queued", () => made = true, Limit, one.Token);

        await one.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queued);
        _hang.Set();
        await Task.WhenAll(busy).WaitAsync(Token);
        await RunAsync(() => 0).WaitAsync(Token);
        Assert.False(made);
    }

    [Fact]
    public async Task A_result_that_nobody_waits_for_is_disposed()
    {
        var late = new Disposable();
        var started = new TaskCompletionSource();
        var call = RunAsync(() =>
        {
            Hang(started);
            return late;
        });
        await started.Task.WaitAsync(Token);
        _time.Advance(Limit);
        await Assert.ThrowsAsync<LibvirtException>(() => call);

        _hang.Set();

        await late.Disposed.Task.WaitAsync(Token);
    }

    [Fact]
    public async Task A_missing_function_is_named_as_not_supported()
    {
        var error = await Assert.ThrowsAsync<LibvirtException>(
            () => RunAsync<int>(() => throw new EntryPointNotFoundException("virDomainNew")));

        Assert.Equal(LibvirtErrorCode.NoSupport, error.Code);
        Assert.Contains("virDomainNew", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_call_of_minutes_does_not_take_one_of_the_threads()
    {
        var started = new TaskCompletionSource();
        var migration = _threads.RunAsync("migrate", () => Hang(started), TimeSpan.FromHours(1), Token, ownThread: true);
        await started.Task.WaitAsync(Token);

        Assert.Equal(0, _threads.Threads);

        _hang.Set();
        await migration.WaitAsync(Token);
    }

    [Fact]
    public async Task Closed_it_refuses_calls_and_ends_its_threads()
    {
        await RunAsync(() => 0);

        _threads.Close();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => RunAsync(() => 0));
        await Until(() => _threads.Threads == 0);
    }

    private Task<T> RunAsync<T>(Func<T> call) => _threads.RunAsync("test", call, Limit, Token);

    private int Hang(TaskCompletionSource? started)
    {
        started?.SetResult();
        _hang.Wait(CancellationToken.None);
        return 0;
    }

    private async Task HangAllAsync(int count)
    {
        var started = Enumerable.Range(0, count).Select(_ => new TaskCompletionSource()).ToArray();
        var calls = started.Select(one => RunAsync(() => Hang(one))).ToArray();
        await Task.WhenAll(started.Select(one => one.Task)).WaitAsync(Token);
        _time.Advance(Limit);
        foreach (var call in calls)
            await Assert.ThrowsAsync<LibvirtException>(() => call);
    }

    private static async Task Until(Func<bool> state)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(TimeSpan.FromSeconds(20));
        while (!state())
        {
            deadline.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private sealed class Disposable : IDisposable
    {
        public TaskCompletionSource Disposed { get; } = new();

        public void Dispose() => Disposed.SetResult();
    }
}
