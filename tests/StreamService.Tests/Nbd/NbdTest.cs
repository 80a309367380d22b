using System.Threading.Channels;
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

    /// <summary>A server that shakes hands well and then does this.</summary>
    internal static FakeNbdServer Serve(Func<FakeNbdConnection, Task> afterHandshake) => new(async connection =>
    {
        await connection.HandshakeAsync();
        await afterHandshake(connection);
    });

    /// <summary>Receives requests until the goodbye.</summary>
    internal static async Task ReceiveAllAsync(FakeNbdConnection connection, ChannelWriter<FakeNbdRequest> into)
    {
        while (await connection.ReceiveRequestAsync() is { Type: not 2 } request)
        {
            into.TryWrite(request);
        }
    }

    /// <summary>Answers these cookies, without an error, until there are no more to come.</summary>
    internal static async Task AnswerAllAsync(FakeNbdConnection connection, ChannelReader<ulong> cookies)
    {
        await foreach (ulong cookie in cookies.ReadAllAsync(Token))
        {
            await connection.SendAsync(Wire.SimpleReply(cookie));
        }
    }
}
