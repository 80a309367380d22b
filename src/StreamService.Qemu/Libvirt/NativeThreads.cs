namespace StreamService.Qemu.Libvirt;

/// <summary>
/// Runs blocking native calls on threads of its own, so that a daemon that does not answer costs such a
/// thread and never one of the thread pool's, and never a caller more than its time limit.
/// </summary>
/// <remarks>
/// At most <c>size</c> threads serve callers. One whose caller has left (time limit, cancellation) no
/// longer counts as serving and is replaced, up to <c>maxStuck</c> of them; beyond that, calls wait
/// in the queue until their own limit. A call that was given up before its turn is never made.
/// </remarks>
internal sealed class NativeThreads(int size, TimeProvider time, int maxStuck = NativeThreads.MaxStuck)
{
    /// <summary>How many threads may hang in calls that nobody waits for.</summary>
    internal const int MaxStuck = 16;

    private readonly object _gate = new();
    private readonly Queue<Call> _queue = new();
    private int _threads;
    private int _idle;
    private int _stuck;
    private bool _closed;

    private enum CallState
    {
        /// <summary>In the queue.</summary>
        Queued,

        /// <summary>A thread is in it, and its caller waits.</summary>
        Running,

        /// <summary>A thread is in it; its caller has left.</summary>
        Stuck,

        /// <summary>Returned, or given up before its turn.</summary>
        Over,
    }

    /// <summary>Threads that hang in a call whose caller has left.</summary>
    internal int Stuck
    {
        get
        {
            lock (_gate)
                return _stuck;
        }
    }

    /// <summary>Threads alive, stuck ones included.</summary>
    internal int Threads
    {
        get
        {
            lock (_gate)
                return _threads;
        }
    }

    /// <summary>Makes one call and waits for its result.</summary>
    /// <param name="function">For the text of the time-out.</param>
    /// <param name="call">Runs on a thread of this object, or not at all. A result that comes too late is disposed, where it can be.</param>
    /// <param name="timeout">Counts from now, the wait in the queue included.</param>
    /// <param name="ownThread">The call may take minutes: it gets a thread of its own, outside the count.</param>
    /// <exception cref="LibvirtException">The call's own, or <see cref="LibvirtErrorCode.OperationTimeout"/>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled. The call may still be carried out.</exception>
    /// <exception cref="ObjectDisposedException">After <see cref="Close"/>.</exception>
    internal async Task<T> RunAsync<T>(
        string function, Func<T> call, TimeSpan timeout, CancellationToken cancellationToken, bool ownThread = false)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var item = new Call<T>(call);
        if (ownThread)
            new Thread(() => item.Invoke()) { IsBackground = true, Name = function }.Start();
        else
            Enqueue(item);

        try
        {
            return await item.Task.WaitAsync(timeout, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            GiveUp(item, ownThread);
            throw new LibvirtException(
                LibvirtErrorCode.OperationTimeout, $"{function} has not returned within {timeout.TotalSeconds:0.###} s.");
        }
        catch (OperationCanceledException)
        {
            GiveUp(item, ownThread);
            throw;
        }
    }

    /// <summary>Refuses further calls; queued ones are still made, then the threads end.</summary>
    internal void Close()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.PulseAll(_gate);
        }
    }

    private void Enqueue(Call item)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(LibvirtConnection));
            _queue.Enqueue(item);
            Staff();
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Starts a thread where more calls wait than threads do. To be called under the lock.</summary>
    private void Staff()
    {
        if (_queue.Count > _idle && _threads - _stuck < size && _stuck <= maxStuck)
        {
            _threads++;
            new Thread(Serve) { IsBackground = true, Name = "libvirt call" }.Start();
        }
    }

    private void GiveUp(Call item, bool ownThread)
    {
        item.DiscardResult();
        if (ownThread)
            return;
        lock (_gate)
        {
            if (item.State == CallState.Queued)
            {
                item.State = CallState.Over;
            }
            else if (item.State == CallState.Running)
            {
                item.State = CallState.Stuck;
                _stuck++;
                Staff();
            }
        }
    }

    private void Serve()
    {
        while (Next() is { } item)
        {
            item.Invoke();
            lock (_gate)
            {
                if (item.State == CallState.Stuck)
                    _stuck--;
                item.State = CallState.Over;
            }
        }
    }

    /// <summary>The next call that still has a caller; null tells the thread to end.</summary>
    private Call? Next()
    {
        lock (_gate)
        {
            while (true)
            {
                // More threads than wanted: others were started while this one hung.
                if (_threads - _stuck > size)
                    break;
                if (_queue.TryDequeue(out var item))
                {
                    if (item.State != CallState.Queued)
                        continue;
                    item.State = CallState.Running;
                    return item;
                }

                if (_closed)
                    break;
                _idle++;
                Monitor.Wait(_gate);
                _idle--;
            }

            _threads--;
            return null;
        }
    }

    private abstract class Call
    {
        /// <summary>Guarded by the lock.</summary>
        public CallState State { get; set; }

        public abstract void Invoke();

        public abstract void DiscardResult();
    }

    private sealed class Call<T>(Func<T> call) : Call
    {
        private readonly TaskCompletionSource<T> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<T> Task => _result.Task;

        public override void Invoke()
        {
            try
            {
                _result.SetResult(call());
            }
            catch (EntryPointNotFoundException e)
            {
                _result.SetException(new LibvirtException(
                    LibvirtErrorCode.NoSupport, "The installed libvirt is too old: " + e.Message, e));
            }
            catch (DllNotFoundException e)
            {
                _result.SetException(new LibvirtException(
                    LibvirtErrorCode.NoSupport, "libvirt is not installed: " + e.Message, e));
            }
            catch (Exception e)
            {
                _result.SetException(e);
            }
        }

        public override void DiscardResult() => _ = _result.Task.ContinueWith(
            static done =>
            {
                // Reading Exception marks a late failure as seen.
                if (done.Exception is not null)
                    return;
                object? late = done.GetAwaiter().GetResult();
                if (late is IAsyncDisposable connection)
                    _ = connection.DisposeAsync().AsTask();
                else if (late is IDisposable handle)
                    handle.Dispose();
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }
}
