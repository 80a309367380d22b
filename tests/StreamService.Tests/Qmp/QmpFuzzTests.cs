using System.Net.Sockets;
using StreamService.Qemu.Qmp;
using StreamService.Tests.Fuzzing;

namespace StreamService.Tests.Qmp;

/// <summary>Alone: it measures the memory of the whole process.</summary>
[CollectionDefinition(nameof(QmpFuzzTests), DisableParallelization = true)]
public sealed class QmpFuzzTestsAlone;

/// <summary>A hostile monitor: what <c>Qmp/Corpus</c> holds, as it is there and mutated; whatever comes, only QmpException comes out.</summary>
[Collection(nameof(QmpFuzzTests))]
public sealed class QmpFuzzTests
{
    private const int Iterations = 1500;

    /// <summary>Of the messages here; a service takes longer ones.</summary>
    private const int LongestMessage = 64 << 10;

    /// <summary>Per connection; a message that is believed without end would take far more.</summary>
    private const long BytesPerIteration = 600_000;

    /// <summary>The largest there is: a flood of events.</summary>
    private const long BytesPerReplay = 16 << 20;

    private static readonly IReadOnlyList<Conversation> Corpus = Conversation.ReadAll("Qmp");

    public static TheoryData<string> Names => [.. Corpus.Select(conversation => conversation.Name)];

    public static TheoryData<int> Seeds => FuzzSeeds.Or(1, 20261122);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task What_the_corpus_holds_comes_out_as_it_says(string name)
    {
        var conversation = Corpus.Single(item => item.Name == name);
        await using var bench = new Bench();
        var before = GC.GetTotalAllocatedBytes(precise: true);
        var outcome = await bench.PlayAsync(conversation);
        var allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

        Assert.Equal(conversation.Expect.Split(' ')[0], outcome?.GetType().Name ?? "ok");
        Assert.Contains(conversation.IsValid ? "" : conversation.Expect[(conversation.Expect.IndexOf(' ', StringComparison.Ordinal) + 1)..].Trim('\''), outcome?.Message ?? "", StringComparison.Ordinal);
        Assert.InRange(allocated, 0, BytesPerReplay);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Whatever_the_monitor_sends_only_qmp_exceptions_come_out(int seed)
    {
        await using var bench = new Bench();
        var survived = 0;
        var before = GC.GetTotalAllocatedBytes();
        for (var i = 0; i < Iterations; i++)
        {
            var conversation = Mutator.Make(Corpus, new Random(unchecked((seed * 1_000_003) + i))); // so that one iteration can be run alone
            try
            {
                survived += await bench.PlayAsync(conversation) is null ? 1 : 0;
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed}, iteration {i}: {exception}\nFor the corpus:\n{conversation}");
            }
        }
        Assert.InRange(survived, 1, Iterations / 2);
        Assert.InRange((GC.GetTotalAllocatedBytes() - before) / Iterations, 0, BytesPerIteration);
    }

    [Fact]
    public void What_failed_is_printed_as_the_corpus_has_it()
    {
        foreach (var conversation in Corpus)
        {
            var read = Conversation.Parse(conversation.Name, conversation.ToString(), "");
            Assert.Equal(conversation.Steps.Select(step => (step.Wait, Convert.ToHexString(step.Send))), read.Steps.Select(step => (step.Wait, Convert.ToHexString(step.Send))));
        }
    }

    /// <summary>The monitor of all conversations, one after the other.</summary>
    private sealed class Bench : IAsyncDisposable
    {
        private readonly FakeQmpServer _server;
        private Conversation? _conversation;

        public Bench() => _server = new FakeQmpServer(async connection =>
        {
            foreach (var step in _conversation!.Steps)
            {
                for (var commands = step.Wait; commands > 0; commands--)
                    if (await connection.ReceiveAsync() is null)
                        return;
                await connection.SendAsync(step.Send);
            }
            connection.Socket.Shutdown(SocketShutdown.Send);
            await connection.UntilClosedAsync();
        });

        public ValueTask DisposeAsync() => _server.DisposeAsync();

        /// <returns>The fault that the client found; null for none.</returns>
        public async Task<QmpException?> PlayAsync(Conversation conversation)
        {
            _conversation = conversation;
            var token = TestContext.Current.CancellationToken;
            try
            {
                await TalkAsync(conversation.Ask, token).WaitAsync(TimeSpan.FromSeconds(20), token);
                return null;
            }
            catch (QmpException exception)
            {
                return exception;
            }
        }

        private async Task TalkAsync(IReadOnlyList<string> ask, CancellationToken token)
        {
            await using var client = await QmpClient.ConnectAsync(_server.SocketPath, new QmpClientOptions { LongestMessage = LongestMessage }, token);
            foreach (var what in ask)
                await (what switch
                {
                    "block" => client.QueryBlockAsync(token),
                    "graph" => client.QueryBlockGraphAsync(token),
                    "exports" => client.QueryBlockExportsAsync(token),
                    "block-jobs" => client.QueryBlockJobsAsync(token),
                    "jobs" => client.QueryJobsAsync(token),
                    "stats" => client.QueryBlockStatsAsync(token),
                    "name" => client.QueryNameAsync(token),
                    "uuid" => client.QueryUuidAsync(token),
                    "status" => client.QueryStatusAsync(token),
                    "layers" => LayersAsync(client, token),
                    "nodes" => NodeDetails.TryQueryAsync(client, token),
                    "capabilities" => client.QueryCapabilitiesAsync(token),
                    "human" => client.HumanMonitorAsync("info", token),
                    "build" => client.QueryBuildAsync(token),
                    "command" => client.ExecuteAsync("x", null, null, token),
                    "refused" => RefusedAsync(client, token),
                    "closed" => client.Closed,
                    _ => throw new ArgumentException(what, nameof(ask)),
                });
            while (client.Events.TryRead(out var happened))
                Assert.NotEqual("", happened.Text("device") ?? happened.Name);
        }

        /// <summary>What the service makes of query-block and the graph together.</summary>
        private static async Task LayersAsync(QmpClient client, CancellationToken token)
        {
            var devices = await client.QueryBlockAsync(token);
            var graph = await client.QueryBlockGraphAsync(token);
            Assert.All(devices.Select(device => ActiveLayer.Find(device, graph)), layer => Assert.NotEqual([], layer?.Chain ?? [""]));
        }

        private static async Task RefusedAsync(QmpClient client, CancellationToken token)
        {
            try
            {
                await client.ExecuteAsync("x", null, null, token);
            }
            catch (QmpCommandException)
            {
                // As the conversation has it.
            }
        }
    }
}
