using Microsoft.Extensions.Time.Testing;
using StreamService.Streaming.Budgets;

namespace StreamService.Tests.Streaming.Budgets;

/// <summary>A budget's waiting requests, on a clock that only the test moves.</summary>
public sealed class BudgetTests
{
    private const int Cluster = 64 << 10;
    private const long MiB = 1 << 20;

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 15, 12, 0, 0, TimeSpan.Zero));

    [Fact]
    public async Task A_request_goes_when_the_pace_allows_it()
    {
        using var budget = NewBudget(MiB);
        var member = budget.Join(weight: 4, Cluster);
        await member.WaitAsync(1 << 18, default);

        var second = member.WaitAsync(1 << 18, default).AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(240));
        Assert.False(second.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(20));
        await second.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public void Each_member_is_told_its_share_by_weight_of_those_that_want_some()
    {
        using var budget = NewBudget(MiB);
        var (one, other) = (budget.Join(weight: 4, Cluster), budget.Join(weight: 16, Cluster));
        Assert.Equal((MiB, MiB / 5), (one.Share.BytesPerSecond, one.Share.Share));
        Assert.Equal(MiB / 5 * 4, other.Share.Share, 4d);
        other.Dispose();
        Assert.Equal(MiB, one.Share.Share);
        using var unlimited = NewBudget(0);
        Assert.Equal(0, unlimited.Join(weight: 4, Cluster).Share.Share);
    }

    [Fact]
    public async Task A_cancelled_request_leaves_the_line()
    {
        using var budget = NewBudget(1);
        var member = budget.Join(weight: 4, Cluster);
        await member.WaitAsync(Cluster, default);
        using var enough = new CancellationTokenSource();
        var waiting = member.WaitAsync(Cluster, enough.Token).AsTask();

        await enough.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.Null(member.Fair.Pending);
    }

    [Fact]
    public async Task A_budget_that_ends_holds_nobody_up()
    {
        var budget = NewBudget(1);
        var member = budget.Join(weight: 4, Cluster);
        await member.WaitAsync(Cluster, default);
        var waiting = member.WaitAsync(Cluster, default).AsTask();

        budget.Dispose();

        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
        await member.WaitAsync(Cluster, default);
    }

    [Fact]
    public async Task A_stream_that_leaves_is_not_held_up_either()
    {
        using var budget = NewBudget(1);
        var member = budget.Join(weight: 4, Cluster);
        await member.WaitAsync(Cluster, default);
        var waiting = member.WaitAsync(Cluster, default).AsTask();

        member.Dispose();

        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(0, budget.Members);
    }

    [Fact]
    public async Task A_faster_pace_reaches_who_waits_already()
    {
        using var budget = NewBudget(1);
        var member = budget.Join(weight: 4, Cluster);
        await member.WaitAsync(Cluster, default);
        var waiting = member.WaitAsync(Cluster, default).AsTask();

        budget.Update(budget.Definition with { BytesPerSecond = 1 << 30 });
        _time.Advance(TimeSpan.FromSeconds(1));

        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public void Requests_follow_the_share_that_is_to_be_expected()
    {
        using var budget = NewBudget(64 * MiB);
        var alone = budget.Join(weight: 16, Cluster);
        Assert.Equal(512 << 10, alone.NextRequestSize);

        var low = budget.Join(weight: 1, Cluster);
        for (var i = 0; i < 10; i++)
            budget.Join(weight: 16, Cluster);
        Assert.Equal(128 << 10, alone.NextRequestSize);
        Assert.Equal(Cluster, low.NextRequestSize);

        // Who asks for nothing any more leaves its share.
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(512 << 10, alone.NextRequestSize);
    }

    [Fact]
    public void A_window_begins_when_the_clock_says_so()
    {
        var night = new BudgetWindow(new(22, 0), new(6, 0), "UTC", 0);
        using var budget = new Budget(new BudgetDefinition("a", BudgetScope.Service, null, MiB, [night]), _time);
        Assert.Equal(MiB, budget.BytesPerSecond);

        _time.Advance(TimeSpan.FromHours(10));
        budget.Update(budget.Definition);

        Assert.Equal(0, budget.BytesPerSecond);
    }

    private Budget NewBudget(long bytesPerSecond) => new(new BudgetDefinition("a", BudgetScope.Service, null, bytesPerSecond, []), _time);
}
