using System.Net;
using System.Net.Sockets;
using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

/// <summary>Alone: it measures the memory of the whole process.</summary>
[CollectionDefinition(nameof(NbdFuzzTests), DisableParallelization = true)]
public sealed class NbdFuzzTestsAlone;

/// <summary>
/// A hostile server: each iteration plays a valid conversation with one message mutated. Up to that message it waits
/// for what the client sends; then it sends the rest without waiting and closes, so that nobody can wait for the other.
/// </summary>
[Collection(nameof(NbdFuzzTests))]
public sealed class NbdFuzzTests : NbdTest
{
    private const int IterationsPerSeed = 2000;

    /// <summary>Per connection: its buffers, and what the test itself takes. An unchecked length would take far more.</summary>
    private const long BytesPerIteration = 400_000;

    /// <summary>What the server waits for (bytes), then sends. Cookies: the slots in order, each in its first use.</summary>
    private static readonly (int Receive, byte[] Send)[] Conversation =
    [
        (0, Wire.Greeting()),
        (4 + 16, Wire.OptionReply(8, 1)),
        (16 + 4 + 3 + 4 + 4 + 15 + 4 + 21, [.. Wire.OptionReply(10, 4, Wire.Context(7, "base:allocation")), .. Wire.OptionReply(10, 4, Wire.Context(9, "qemu:allocation-depth")), .. Wire.OptionReply(10, 1)]),
        (16 + 4 + 3 + 4, [.. Wire.OptionReply(7, 3, Wire.ExportInfo(1 << 20, FakeNbdExport.QemuFlags)), .. Wire.OptionReply(7, 3, Wire.BlockSizes(1, 65536, 32 << 20)), .. Wire.OptionReply(7, 1)]),
        (28, [.. Wire.Extents(Cookie(0), 7, false, (65536, 0), (65536, 3)), .. Wire.Extents(Cookie(0), 9, true, (4096, 1), (126976, 2))]),
        (28, [.. Wire.Data(Cookie(1), 4096, new byte[100], done: false), .. Wire.Hole(Cookie(1), 4196, 924)]),
        (28, Wire.SimpleReply(Cookie(2))),
        (28, Wire.Chunk(Cookie(3), 0, [])),
        (28, Wire.Error(Cookie(4), 5, "Input/output error")),
    ];

    /// <summary>Index of the message that tells the export's size.</summary>
    private const int ExportMessage = 3;

    [Theory]
    [InlineData(1)]
    [InlineData(20260101)]
    public async Task Whatever_the_server_sends_only_nbd_exceptions_come_out(int seed)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("nbd-");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var endPoint = new UnixDomainSocketEndPoint(Path.Combine(folder.FullName, "s"));
        listener.Bind(endPoint);
        listener.Listen();
        Assert.True(await PlayAsync(listener, endPoint, new Random(seed), mutated: -1), "the conversation itself is not valid");

        var survived = 0;
        long allocatedBefore = GC.GetTotalAllocatedBytes();
        for (var i = 0; i < IterationsPerSeed; i++)
        {
            var random = new Random(unchecked((seed * 1_000_003) + i)); // so that one iteration can be run alone
            try
            {
                survived += await PlayAsync(listener, endPoint, random, random.Next(Conversation.Length)) ? 1 : 0;
            }
            catch (Exception exception) when (exception is not NbdException)
            {
                Assert.Fail($"seed {seed}, iteration {i}: {exception}");
            }
        }

        long allocated = (GC.GetTotalAllocatedBytes() - allocatedBefore) / IterationsPerSeed;
        folder.Delete(recursive: true);
        Assert.InRange(survived, 1, IterationsPerSeed / 4); // most mutations matter, and some (of data, of a message) do not
        Assert.InRange(allocated, 0, BytesPerIteration);
    }

    /// <returns>Whether the client noticed nothing.</returns>
    private static async Task<bool> PlayAsync(Socket listener, EndPoint endPoint, Random random, int mutated)
    {
        byte[][] messages = [.. Conversation.Select((step, i) => i == mutated ? Mutate(step.Send, random) : step.Send)];
        Task serving = ServeAsync(listener, messages, mutated);
        try
        {
            await Soon(TalkAsync(endPoint, concurrently: random.Next(2) == 0));
            return true;
        }
        catch (NbdException)
        {
            return false;
        }
        catch (ArgumentOutOfRangeException) when (mutated == ExportMessage)
        {
            return false; // the export is said to be smaller than what we ask for
        }
        finally
        {
            await Soon(serving);
        }
    }

    private static async Task TalkAsync(EndPoint endPoint, bool concurrently)
    {
        await using NbdClient client = await NbdClient.ConnectAsync(endPoint, "vda", BothContexts, Token);
        Func<Task>[] calls =
        [
            () => client.GetBlockStatusAsync(0, 131072, Token),
            () => client.ReadAsync(4096, new byte[1024], Token),
            () => client.CacheAsync(0, 512, Token),
            () => client.FlushAsync(Token),
            () => RefusedAsync(client),
        ];
        if (concurrently)
        {
            await Task.WhenAll(calls.Select(call => call()));
        }
        else
        {
            foreach (Func<Task> call in calls)
            {
                await call();
            }
        }
    }

    private static async Task RefusedAsync(NbdClient client)
    {
        try
        {
            await client.CacheAsync(512, 512, Token);
        }
        catch (NbdCommandException)
        {
            // As the conversation has it.
        }
    }

    private static async Task ServeAsync(Socket listener, byte[][] messages, int mutated)
    {
        using Socket socket = await listener.AcceptAsync(Token);
        await using var stream = new NetworkStream(socket);
        var received = new byte[256];
        try
        {
            for (var i = 0; i < messages.Length; i++)
            {
                if (mutated < 0 || i <= mutated)
                {
                    await stream.ReadExactlyAsync(received.AsMemory(0, Conversation[i].Receive), Token);
                }

                await stream.WriteAsync(messages[i], Token);
            }
        }
        catch (IOException)
        {
            // The client had enough.
        }
    }

    private static byte[] Mutate(byte[] message, Random random)
    {
        List<byte> bytes = [.. message];
        for (int mutations = random.Next(1, 4); mutations > 0 && bytes.Count > 0; mutations--)
        {
            int at = random.Next(bytes.Count);
            switch (random.Next(7))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes[at] = 0xff;
                    break;
                case 3:
                    bytes[at] = 0;
                    break;
                case 4:
                    bytes.RemoveRange(at, random.Next(1, bytes.Count - at + 1));
                    break;
                case 5:
                    bytes.InsertRange(at, bytes.GetRange(at, random.Next(1, bytes.Count - at + 1)));
                    break;
                default: // a length, perhaps: four bytes as large as they get
                    for (int i = at; i < Math.Min(at + 4, bytes.Count); i++)
                    {
                        bytes[i] = i == at ? (byte)0x7f : (byte)0xff;
                    }

                    break;
            }
        }

        return [.. bytes];
    }

    private static ulong Cookie(int slot) => (1 << 16) | (uint)slot;
}
