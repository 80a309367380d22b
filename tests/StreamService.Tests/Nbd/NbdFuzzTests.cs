using System.Net.Sockets;
using StreamService.Qemu.Nbd;
using StreamService.Tests.Fuzzing;

namespace StreamService.Tests.Nbd;

/// <summary>Alone: it measures the memory of the whole process.</summary>
[CollectionDefinition(nameof(NbdFuzzTests), DisableParallelization = true)]
public sealed class NbdFuzzTestsAlone;

/// <summary>
/// A hostile server: what <c>Nbd/Corpus</c> holds, as it is there and mutated. Up to the mutated message it waits for what the
/// client sends; then it sends the rest without waiting and closes, so that nobody can wait for the other.
/// </summary>
[Collection(nameof(NbdFuzzTests))]
public sealed class NbdFuzzTests : NbdTest
{
    private const int IterationsPerSeed = 2000;

    /// <summary>Per connection: its buffers, and what the test itself takes. An unchecked length would take far more.</summary>
    private const long BytesPerIteration = 400_000;

    /// <summary>The largest there is: a reply of a hundred thousand extents.</summary>
    private const long BytesPerReplay = 16 << 20;

    /// <summary>What is asked of the export reaches so far.</summary>
    private const int Asked = 131072;

    private static readonly IReadOnlyList<Conversation> Corpus = Conversation.ReadAll("Nbd");

    public static TheoryData<string> Names => [.. Corpus.Select(conversation => conversation.Name)];

    public static TheoryData<int> Seeds => FuzzSeeds.Or(1, 20260101);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task What_the_corpus_holds_comes_out_as_it_says(string name)
    {
        Conversation conversation = Corpus.Single(item => item.Name == name);
        using var bench = new Bench();
        foreach (bool concurrently in new[] { false, true })
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            NbdException? outcome = await bench.PlayAsync(conversation, concurrently && conversation.IsValid);
            long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

            Assert.Equal(conversation.Expect.Split(' ')[0], outcome?.GetType().Name ?? "ok");
            Assert.Contains(conversation.IsValid ? "" : conversation.Expect.Split('"')[1], outcome?.Message ?? "", StringComparison.Ordinal);
            Assert.InRange(allocated, 0, BytesPerReplay);
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Whatever_the_server_sends_only_nbd_exceptions_come_out(int seed)
    {
        using var bench = new Bench();
        var survived = 0;
        long allocatedBefore = GC.GetTotalAllocatedBytes();
        for (var i = 0; i < IterationsPerSeed; i++)
        {
            var random = new Random(unchecked((seed * 1_000_003) + i)); // so that one iteration can be run alone
            Conversation conversation = Mutator.Make(Corpus, random);
            try
            {
                survived += await bench.PlayAsync(conversation, concurrently: random.Next(2) == 0) is null ? 1 : 0;
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed}, iteration {i}: {exception}\nFor the corpus:\n{conversation}");
            }
        }

        long allocated = (GC.GetTotalAllocatedBytes() - allocatedBefore) / IterationsPerSeed;
        Assert.InRange(survived, 1, IterationsPerSeed / 4); // most mutations matter, and some (of data, of a message) do not
        Assert.InRange(allocated, 0, BytesPerIteration);
    }

    [Fact]
    public void What_failed_is_printed_as_the_corpus_has_it()
    {
        foreach (Conversation conversation in Corpus)
        {
            Conversation read = Conversation.Parse(conversation.Name, conversation.ToString(), "");
            Assert.Equal(conversation.Steps.Select(step => (step.Wait, Convert.ToHexString(step.Send))), read.Steps.Select(step => (step.Wait, Convert.ToHexString(step.Send))));
            Assert.Equal((conversation.Expect, string.Join(' ', conversation.Ask)), (read.Expect, string.Join(' ', read.Ask)));
        }
    }

    /// <summary>The socket that the server of all conversations listens at.</summary>
    private sealed class Bench : IDisposable
    {
        private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("nbd-");
        private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private readonly UnixDomainSocketEndPoint _endPoint;

        public Bench()
        {
            _endPoint = new UnixDomainSocketEndPoint(Path.Combine(_folder.FullName, "s"));
            _listener.Bind(_endPoint);
            _listener.Listen();
        }

        public void Dispose()
        {
            _listener.Dispose();
            _folder.Delete(recursive: true);
        }

        /// <returns>The fault that the client found; null for none.</returns>
        public async Task<NbdException?> PlayAsync(Conversation conversation, bool concurrently)
        {
            Task serving = ServeAsync(conversation);
            try
            {
                await Soon(TalkAsync(conversation.Ask, concurrently));
                return null;
            }
            catch (NbdException exception)
            {
                return exception;
            }
            finally
            {
                await Soon(serving);
            }
        }

        private async Task ServeAsync(Conversation conversation)
        {
            using Socket socket = await _listener.AcceptAsync(Token);
            await using var stream = new NetworkStream(socket);
            var received = new byte[256];
            try
            {
                foreach (Step step in conversation.Steps)
                {
                    await stream.ReadExactlyAsync(received.AsMemory(0, step.Wait), Token);
                    await stream.WriteAsync(step.Send, Token);
                }
            }
            catch (IOException)
            {
                // The client had enough.
            }
        }

        private async Task TalkAsync(IReadOnlyList<string> ask, bool concurrently)
        {
            if (ask is ["list"])
            {
                await NbdClient.ListExportsAsync(_endPoint, new NbdClientOptions(), Token);
                return;
            }

            await using NbdClient client = await NbdClient.ConnectAsync(_endPoint, "vda", BothContexts, Token);
            try
            {
                if (concurrently)
                {
                    await Task.WhenAll(ask.Select(what => AskAsync(client, what)));
                    return;
                }

                foreach (string what in ask)
                {
                    await AskAsync(client, what);
                }
            }
            catch (ArgumentOutOfRangeException) when (client.Export.Size < Asked || client.Export.MaximumPayload < 1024 || client.Export.MinimumBlockSize > 512)
            {
                // The export is said to be smaller than what we ask for.
                throw new NbdException("too small");
            }
        }

        private static Task AskAsync(NbdClient client, string what) => what switch
        {
            "status" => client.GetBlockStatusAsync(0, Asked, Token),
            "read" => client.ReadAsync(4096, new byte[1024], Token),
            "cache" => client.CacheAsync(0, 512, Token),
            "flush" => client.FlushAsync(Token),
            "refused" => RefusedAsync(client),
            _ => throw new ArgumentException(what, nameof(what)),
        };

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
    }
}
