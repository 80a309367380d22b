namespace StreamService.Streaming;

/// <summary>A mean rate over the last seconds, from a counter that is looked at now and then.</summary>
internal sealed class RateMeter(TimeProvider time)
{
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(3);

    private readonly Queue<(long At, long Bytes)> _samples = new();

    /// <summary>Takes the counter's present value; returns bytes per second over the window.</summary>
    public long Observe(long bytes)
    {
        var now = time.GetTimestamp();
        // A counter that went back (a crash of QEMU took unflushed clusters with it) starts a new history.
        if (_samples.Count > 0 && bytes < _samples.Last().Bytes)
            _samples.Clear();
        _samples.Enqueue((now, bytes));
        while (_samples.Count > 2 && time.GetElapsedTime(_samples.Peek().At, now) > Window)
            _samples.Dequeue();
        var (at, first) = _samples.Peek();
        var seconds = time.GetElapsedTime(at, now).TotalSeconds;
        return seconds > 0 ? (long)((bytes - first) / seconds) : 0;
    }
}
