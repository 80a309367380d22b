using Microsoft.Extensions.Time.Testing;
using StreamService.Hypervisors;

namespace StreamService.Tests.Hypervisors;

public sealed class ExpiringValueTests
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(500);

    private readonly FakeTimeProvider _clock = new();
    private readonly List<TaskCompletionSource<int>> _asked = [];
    private readonly ExpiringValue<int> _value;

    public ExpiringValueTests() => _value = new(_ =>
    {
        _asked.Add(new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously));
        return _asked[^1].Task;
    }, Lifetime, _clock);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Many_callers_are_one_question_and_its_answer_lasts_its_lifetime()
    {
        var callers = Enumerable.Range(0, 20).Select(_ => _value.GetAsync(Token)).ToList();
        Assert.Single(_asked);
        _asked[0].SetResult(7);
        Assert.All(await Task.WhenAll(callers), answer => Assert.Equal(7, answer));

        _clock.Advance(Lifetime - TimeSpan.FromTicks(1));
        Assert.Equal(7, await _value.GetAsync(Token));
        _clock.Advance(TimeSpan.FromTicks(1));
        var next = _value.GetAsync(Token);
        _asked[1].SetResult(8);
        Assert.Equal(8, await next);
    }

    [Fact]
    public async Task What_was_asked_before_an_invalidation_is_not_given_to_who_asks_after_it()
    {
        var before = _value.GetAsync(Token);
        _value.Invalidate();
        var after = _value.GetAsync(Token);
        Assert.Equal(2, _asked.Count);
        // The old answer comes last.
        _asked[1].SetResult(2);
        _asked[0].SetResult(1);
        Assert.Equal((1, 2), (await before, await after));
        Assert.Equal(2, await _value.GetAsync(Token));
    }

    [Fact]
    public async Task A_failure_is_not_kept()
    {
        var failing = _value.GetAsync(Token);
        _asked[0].SetException(new InvalidOperationException());
        await Assert.ThrowsAsync<InvalidOperationException>(() => failing);
        var next = _value.GetAsync(Token);
        _asked[1].SetResult(3);
        Assert.Equal(3, await next);
    }

    [Fact]
    public async Task A_caller_who_leaves_does_not_take_the_answer_from_the_others()
    {
        using var leave = new CancellationTokenSource();
        var leaving = _value.GetAsync(leave.Token);
        var staying = _value.GetAsync(Token);
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => leaving);
        _asked[0].SetResult(4);
        Assert.Equal(4, await staying);
    }
}
