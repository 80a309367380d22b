using Microsoft.Extensions.Logging.Abstractions;
using StreamService.Hypervisors;

namespace StreamService.Tests.Fleet;

public class HostTermTests
{
    private static readonly QmpHypervisor Hypervisor = new("h", "qmp+unix:///nowhere/*.sock", "/tmp", TimeProvider.System, NullLogger<QmpHypervisor>.Instance);

    [Fact]
    public async Task Its_end_ends_the_work_waits_for_it_and_takes_no_more()
    {
        using var term = new HostTerm(Hypervisor, epoch: 1);
        var ended = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        Assert.True(term.TryRun(async ending =>
        {
            await Task.Delay(Timeout.Infinite, ending).ContinueWith(_ => { }, TaskScheduler.Default);
            ended.SetResult();
            await goOn.Task;
        }));
        var asked = term.RunAsync(async () =>
        {
            await goOn.Task;
            return 7;
        });
        var working = term.WorkAsync();
        term.End();
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        Assert.False(working.IsCompleted);
        Assert.True(term.IsHeld);
        Assert.False(term.TryRun(_ => Task.CompletedTask));
        await Assert.ThrowsAsync<HostUnreachableException>(() => term.RunAsync(() => Task.FromResult(0)));
        goOn.SetResult();
        await working;
        Assert.Equal(7, await asked);
    }

    [Fact]
    public void Once_its_lease_was_too_old_it_is_lost_for_good()
    {
        var alive = true;
        using var term = new HostTerm(Hypervisor, epoch: 1, () => alive);
        Assert.True(term.IsHeld);
        alive = false;
        Assert.False(term.IsHeld);
        alive = true;
        Assert.False(term.IsHeld);
        Assert.True(term.Ending.IsCancellationRequested);
    }

    [Fact]
    public async Task Work_that_a_caller_waits_for_fails_to_the_caller_alone()
    {
        using var term = new HostTerm(Hypervisor, epoch: 1);
        var working = term.WorkAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => term.RunAsync<int>(() => throw new InvalidOperationException()));
        term.End();
        await working;
    }
}
