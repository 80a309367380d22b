using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

/// <summary>What the tests of the NBD client share.</summary>
public abstract class NbdTest
{
    internal static readonly NbdClientOptions BothContexts = new()
    {
        MetadataContexts = [NbdMetadataContext.BaseAllocation, NbdMetadataContext.AllocationDepth],
    };

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    internal static Task<NbdClient> ConnectAsync(FakeNbdServer server, NbdClientOptions? options = null) =>
        Soon(NbdClient.ConnectAsync(server.EndPoint, "vda", options ?? BothContexts, Token));

    /// <summary>Nothing hangs: a deadline for whatever a test waits for.</summary>
    internal static Task Soon(Task task) => task.WaitAsync(Deadline, Token);

    internal static Task<T> Soon<T>(Task<T> task) => task.WaitAsync(Deadline, Token);
}
