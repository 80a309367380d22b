namespace StreamService.Hypervisors;

/// <summary>
/// An answer that is asked for at most once in a while, however many callers want it: twenty polls a second must not be
/// twenty calls to a hypervisor.
/// </summary>
internal sealed class ExpiringValue<T>(Func<CancellationToken, Task<T>> ask, TimeSpan lifetime, TimeProvider time)
{
    private readonly Lock _lock = new();
    private Task<T>? _answer;
    private long _askedAt;

    /// <summary>The answer, at most as old as its lifetime and never from before the last <see cref="Invalidate"/>.</summary>
    public Task<T> GetAsync(CancellationToken cancellationToken)
    {
        Task<T> answer;
        lock (_lock)
        {
            var usable = _answer is not null && (!_answer.IsCompleted || _answer.IsCompletedSuccessfully)
                && time.GetElapsedTime(_askedAt) < lifetime;
            if (!usable)
            {
                _askedAt = time.GetTimestamp();
                // Many wait for one answer: one caller's leaving must not end it.
                _answer = ask(CancellationToken.None);
            }
            answer = _answer!;
        }
        return answer.WaitAsync(cancellationToken);
    }

    /// <summary>What was learned up to now may not be true any more.</summary>
    public void Invalidate()
    {
        lock (_lock)
            _answer = null;
    }
}
