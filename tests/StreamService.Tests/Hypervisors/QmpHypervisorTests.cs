using Microsoft.Extensions.Logging.Abstractions;
using StreamService.Hypervisors;
using StreamService.Tests.Qmp;

namespace StreamService.Tests.Hypervisors;

public class QmpHypervisorTests
{
    [Fact]
    public async Task A_domain_that_ended_before_it_told_of_its_disks_is_away_rather_than_without_disks()
    {
        // It says what it can do and that it has no job; when it is asked for its nodes it is gone.
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            await connection.AnswerAsync("""[{"name": "x-debug-query-block-graph", "meta-type": "command"}]""");
            await connection.AnswerAsync("[]");
            await connection.ReceiveAsync();
        });
        var folder = Path.GetDirectoryName(server.SocketPath)!;
        var hypervisor = new QmpHypervisor("monitors", $"qmp+unix://{folder}/*.sock", folder, TimeProvider.System, NullLogger<QmpHypervisor>.Instance);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var reached = new TaskCompletionSource();
        hypervisor.Changed += domain => _ = domain is null && reached.TrySetResult();
        var running = hypervisor.RunAsync(new HostTerm(hypervisor, epoch: 0), stop.Token);
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(30), stop.Token);

        await Assert.ThrowsAsync<HostUnreachableException>(() => hypervisor.FindDomainAsync("qmp", stop.Token));
        var listed = Assert.Single(await hypervisor.ListDomainsAsync(stop.Token));
        Assert.Empty(listed.Disks);

        await stop.CancelAsync();
        await running;
    }
}
