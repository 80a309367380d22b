using System.Net.Sockets;
using System.Text;
using StreamService.Qemu.Qmp;

namespace StreamService.Tests.Qmp;

/// <summary>A hostile monitor: a valid conversation with bytes changed, cut out, doubled; whatever comes, only QmpException comes out.</summary>
public sealed class QmpFuzzTests
{
    private const int Iterations = 1500;

    /// <summary>What the monitor sends at first, and after each command.</summary>
    private static readonly string[] Conversation =
    [
        FakeQmpServer.Greeting + "\r\n",
        """{"return": {}, "id": 1}""" + "\r\n",
        """{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BLOCK_JOB_COMPLETED", "data": {"device": "ä\u00e4", "len": 1}}""" + "\r\n"
            + """{"return": [{"id": "j", "type": "stream", "status": "running", "current-progress": 1, "total-progress": 2}], "id": 2}""" + "\r\n",
        """{"id": 3, "error": {"class": "GenericError", "desc": "no"}}""" + "\r\n",
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(20261122)]
    public async Task Whatever_the_monitor_sends_only_qmp_exceptions_come_out(int seed)
    {
        var token = TestContext.Current.CancellationToken;
        byte[][] pieces = [];
        var mutated = -1;
        await using var server = new FakeQmpServer(async connection =>
        {
            // From the mutated piece on nobody waits for the other.
            for (var i = 0; i < pieces.Length; i++)
            {
                if (i > 0 && (mutated < 0 || i <= mutated) && await connection.ReceiveAsync() is null)
                    return;
                await connection.SendAsync(pieces[i]);
            }
            connection.Socket.Shutdown(SocketShutdown.Send);
            await connection.UntilClosedAsync();
        });
        var survived = 0;
        for (var i = 0; i < Iterations; i++)
        {
            var random = new Random(unchecked((seed * 1_000_003) + i)); // so that one iteration can be run alone
            mutated = i == 0 ? -1 : random.Next(Conversation.Length);
            pieces = [.. Conversation.Select(Encoding.UTF8.GetBytes)];
            if (mutated >= 0)
                pieces[mutated] = Mutate(pieces[mutated], random);
            try
            {
                await PlayAsync(server, token).WaitAsync(TimeSpan.FromSeconds(20), token);
                survived++;
            }
            catch (QmpException)
            {
                Assert.NotEqual(0, i); // the conversation itself is valid
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed}, iteration {i}: {exception}");
            }
        }
        Assert.InRange(survived, 1, Iterations / 2);
    }

    private static async Task PlayAsync(FakeQmpServer server, CancellationToken token)
    {
        await using var client = await QmpClient.ConnectAsync(server.SocketPath, new QmpClientOptions { LongestMessage = 10_000 }, token);
        await client.QueryJobsAsync(token);
        try
        {
            await client.ExecuteAsync("x", null, null, token);
        }
        catch (QmpCommandException)
        {
        }
        while (client.Events.TryRead(out var happened))
            Assert.NotNull(happened.Name);
    }

    private static byte[] Mutate(byte[] message, Random random)
    {
        var bytes = message.ToList();
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            var at = random.Next(bytes.Count);
            var length = Math.Min(random.Next(1, 40), bytes.Count - at);
            switch (random.Next(6))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes.RemoveRange(at, length);
                    break;
                case 2:
                    bytes.InsertRange(at, bytes.GetRange(at, length));
                    break;
                case 3:
                    bytes.InsertRange(at, Encoding.ASCII.GetBytes(new string(random.Next(2) == 0 ? '[' : '9', random.Next(1, 12_000))));
                    break;
                case 4:
                    bytes.InsertRange(at, "\\ud800"u8.ToArray());
                    break;
                default:
                    bytes.RemoveRange(at, bytes.Count - at);
                    bytes.Add((byte)'\n');
                    break;
            }
        }
        return [.. bytes];
    }
}
