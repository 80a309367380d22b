using System.Threading.Channels;
using Microsoft.Extensions.Time.Testing;
using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

public sealed class NbdClientTests : NbdTest
{
    [Fact]
    public async Task A_request_is_on_the_wire_as_the_protocol_says()
    {
        FakeNbdRequest? cache = null, flush = null;
        await using FakeNbdServer server = Serve(async connection =>
        {
            cache = await connection.ReceiveRequestAsync();
            await connection.SendAsync(Wire.SimpleReply(cache.Cookie));
            flush = await connection.ReceiveRequestAsync();
            await connection.SendAsync(Wire.Chunk(flush.Cookie, 0, []));
        });
        await using NbdClient client = await ConnectAsync(server);
        await Soon(client.CacheAsync(131072, 512, Token));
        await Soon(client.FlushAsync(Token));

        Assert.Equal((0, 5, 131072L, 512), (cache!.Flags, cache.Type, cache.Offset, cache.Length));
        Assert.Equal((0, 3, 0L, 0), (flush!.Flags, flush.Type, flush.Offset, flush.Length));
        Assert.NotEqual(cache.Cookie, flush.Cookie);
    }

    [Fact]
    public async Task Replies_may_come_in_any_order()
    {
        await using FakeNbdServer server = Serve(async connection =>
        {
            FakeNbdRequest first = await connection.ReceiveRequestAsync();
            FakeNbdRequest second = await connection.ReceiveRequestAsync();
            FakeNbdRequest third = await connection.ReceiveRequestAsync();

            // Chunks of two replies may be mixed, too.
            await connection.SendAsync(
                Wire.Data(third.Cookie, third.Offset, [5, 6], done: false),
                Wire.Data(first.Cookie, first.Offset, [1, 2]),
                Wire.Error(second.Cookie, 5, ""),
                Wire.Data(third.Cookie, third.Offset + 2, [7, 8]));
        });
        await using NbdClient client = await ConnectAsync(server);
        var first = new byte[2];
        var third = new byte[4];
        Task reading = client.ReadAsync(0, first, Token);
        Task refused = client.CacheAsync(0, 512, Token);
        await Soon(client.ReadAsync(100, third, Token));

        await Soon(reading);
        Assert.Equal(NbdError.EIO, (await Assert.ThrowsAsync<NbdCommandException>(() => Soon(refused))).Error);
        Assert.Equal([1, 2], first);
        Assert.Equal([5, 6, 7, 8], third);
    }

    [Fact]
    public async Task No_more_than_the_limit_are_in_flight()
    {
        var received = Channel.CreateUnbounded<FakeNbdRequest>();
        var answer = Channel.CreateUnbounded<ulong>();
        await using FakeNbdServer server = Serve(connection => Task.WhenAll(ReceiveAllAsync(connection, received.Writer), AnswerAllAsync(connection, answer.Reader)));
        await using NbdClient client = await ConnectAsync(server, BothContexts with { MaxInFlight = 2 });

        Task[] calls = [.. Enumerable.Range(0, 3).Select(i => client.CacheAsync(i * 512, 512, Token))];
        FakeNbdRequest first = await Soon(received.Reader.ReadAsync(Token).AsTask());
        FakeNbdRequest second = await Soon(received.Reader.ReadAsync(Token).AsTask());
        Assert.Equal([0, 512], [first.Offset, second.Offset]);
        Assert.False(received.Reader.TryRead(out _));

        answer.Writer.TryWrite(second.Cookie);
        await Soon(calls[1]);
        Assert.Equal(1024, (await Soon(received.Reader.ReadAsync(Token).AsTask())).Offset);
        Assert.False(calls[0].IsCompleted || calls[2].IsCompleted);
        answer.Writer.TryComplete();
    }

    [Fact]
    public async Task A_refused_command_keeps_the_servers_words_and_the_connection()
    {
        await using FakeNbdServer server = Serve(async connection =>
        {
            await connection.SendAsync(Wire.SimpleReply((await connection.ReceiveRequestAsync()).Cookie, error: 28));
            await connection.SendAsync(Wire.Error((await connection.ReceiveRequestAsync()).Cookie, 22, "len too\nlarge"));

            // An error at an offset, then the end of the reply on its own.
            FakeNbdRequest read = await connection.ReceiveRequestAsync();
            await connection.SendAsync(
                Wire.Data(read.Cookie, 0, [1], done: false),
                Wire.Chunk(read.Cookie, 0x8002, new Wire().U32(5).U16(3).Text("bad").U64(1).ToArray(), done: false),
                Wire.Chunk(read.Cookie, 0, []));

            // An error type of tomorrow.
            FakeNbdRequest flush = await connection.ReceiveRequestAsync();
            await connection.SendAsync(Wire.Chunk(flush.Cookie, 0x8077, new Wire().U32(1234).U16(1).Text("x?").ToArray()));
            await connection.SendAsync(Wire.SimpleReply((await connection.ReceiveRequestAsync()).Cookie));
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server);

        NbdCommandException space = await Assert.ThrowsAsync<NbdCommandException>(() => Soon(client.CacheAsync(0, 512, Token)));
        Assert.Equal((NbdError.ENOSPC, null), (space.Error, space.ServerMessage));
        NbdCommandException invalid = await Assert.ThrowsAsync<NbdCommandException>(() => Soon(client.CacheAsync(512, 1024, Token)));
        Assert.Equal((NbdError.EINVAL, "len too?large"), (invalid.Error, invalid.ServerMessage));
        Assert.Equal("The NBD server refused NBD_CMD_CACHE of 1024 bytes at 512 with EINVAL: len too?large.", invalid.Message);
        NbdCommandException read = await Assert.ThrowsAsync<NbdCommandException>(() => Soon(client.ReadAsync(0, new byte[2], Token)));
        Assert.Equal((NbdError.EIO, "bad"), (read.Error, read.ServerMessage));
        NbdCommandException unknown = await Assert.ThrowsAsync<NbdCommandException>(() => Soon(client.FlushAsync(Token)));
        Assert.Equal((1234, "x"), ((int)unknown.Error, unknown.ServerMessage));
        await Soon(client.FlushAsync(Token));
        Assert.True(client.IsConnected);
    }

    [Fact]
    public async Task A_read_is_put_together_of_data_and_holes_in_any_order()
    {
        var large = new byte[200_000]; // more than the client buffers
        new Random(1).NextBytes(large);
        await using FakeNbdServer server = Serve(async connection =>
        {
            FakeNbdRequest read = await connection.ReceiveRequestAsync();
            await connection.SendAsync(
                Wire.Hole(read.Cookie, 4096 + 200_001, 3, done: false),
                Wire.Data(read.Cookie, 4097, large, done: false),
                Wire.Data(read.Cookie, 4096, [42]));
        });
        await using NbdClient client = await ConnectAsync(server);
        var destination = new byte[200_004];
        Array.Fill(destination, (byte)0xff);
        await Soon(client.ReadAsync(4096, destination, Token));

        Assert.Equal([42, .. large, 0, 0, 0], destination);
    }

    [Fact]
    public async Task Block_status_says_how_far_each_context_reaches()
    {
        await using FakeNbdServer server = Serve(async connection =>
        {
            FakeNbdRequest request = await connection.ReceiveRequestAsync();
            Assert.Equal(7, request.Type);
            await connection.SendAsync(
                Wire.Extents(request.Cookie, 9, false, (65536, 1), (4096, 2)),
                Wire.Extents(request.Cookie, 7, true, (8192, 3), (900_000, 0))); // the last may reach past the range
        });
        await using NbdClient client = await ConnectAsync(server);
        NbdBlockStatus status = await Soon(client.GetBlockStatusAsync(4096, 131072, Token));

        Assert.Equal((4096, 131072), (status.Offset, status.Length));
        Assert.Equal([new(4096, 65536, 1), new(69632, 4096, 2)], status[NbdMetadataContext.AllocationDepth]);
        Assert.Equal([new(4096, 8192, 3), new(12288, 122880, 0)], status[NbdMetadataContext.BaseAllocation]);
        Assert.Equal((73728, 135168), (status.EndOf(NbdMetadataContext.AllocationDepth), status.EndOf(NbdMetadataContext.BaseAllocation)));
    }

    [Fact]
    public async Task A_break_fails_all_that_is_pending_and_all_that_follows()
    {
        await using FakeNbdServer server = Serve(async connection =>
        {
            await connection.ReceiveRequestAsync();
            await connection.ReceiveRequestAsync();
        });
        await using NbdClient client = await ConnectAsync(server, BothContexts with { MaxInFlight = 2 });
        Task[] calls = [.. Enumerable.Range(0, 5).Select(_ => client.CacheAsync(0, 512, Token))];

        foreach (Task call in calls)
        {
            NbdException broken = await Assert.ThrowsAsync<NbdException>(() => Soon(call));
            Assert.Contains("closed the connection", broken.Message, StringComparison.Ordinal);
        }

        Assert.False(client.IsConnected);
        await Assert.ThrowsAsync<NbdException>(() => Soon(client.FlushAsync(Token)));
        await Assert.ThrowsAsync<NbdException>(() => Soon(client.GetBlockStatusAsync(0, 512, Token)));
    }

    [Fact]
    public async Task Disposal_says_goodbye_and_fails_what_is_pending()
    {
        FakeNbdRequest? last = null;
        await using FakeNbdServer server = Serve(async connection =>
        {
            await connection.ReceiveRequestAsync();
            last = await connection.ReceiveRequestAsync();
        });
        NbdClient client = await ConnectAsync(server);
        Task pending = client.FlushAsync(Token);
        await Soon(client.DisposeAsync().AsTask());

        NbdException closed = await Assert.ThrowsAsync<NbdException>(() => Soon(pending));
        Assert.Contains("closed by this side", closed.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<NbdException>(() => Soon(client.FlushAsync(Token)));
        await Soon(server.Script);
        Assert.Equal(2, last!.Type);
        await client.DisposeAsync(); // again: without effect
    }

    [Fact]
    public async Task A_server_that_leaves_a_request_unanswered_is_broken_off()
    {
        var time = new FakeTimeProvider();
        var received = new TaskCompletionSource();
        await using FakeNbdServer server = Serve(async connection =>
        {
            await connection.ReceiveRequestAsync();
            received.SetResult();
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(
            server, BothContexts with { TimeProvider = time, RequestTimeout = TimeSpan.FromSeconds(8) });
        time.Advance(TimeSpan.FromMinutes(1)); // idle is no fault
        Task call = client.FlushAsync(Token);
        await Soon(received.Task);
        time.Advance(TimeSpan.FromSeconds(8));
        Assert.False(call.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(2));

        NbdException overdue = await Assert.ThrowsAsync<NbdException>(() => Soon(call));
        Assert.Contains("unanswered for 00:00:08", overdue.Message, StringComparison.Ordinal);
        Assert.False(client.IsConnected);
    }

    [Fact]
    public async Task What_the_export_does_not_offer_is_not_sent()
    {
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(new FakeNbdExport { Flags = 1 });
            Assert.Equal(2, (await connection.ReceiveRequestAsync()).Type); // only the goodbye
        });
        await using (NbdClient client = await ConnectAsync(server, new NbdClientOptions()))
        {
            Func<Task>[] calls =
                [() => client.CacheAsync(0, 512, Token), () => client.FlushAsync(Token), () => client.GetBlockStatusAsync(0, 512, Token)];
            foreach (Func<Task> call in calls)
            {
                Assert.Equal(NbdError.ENOTSUP, (await Assert.ThrowsAsync<NbdCommandException>(call)).Error);
            }
        }

        await Soon(server.Script);
    }

    [Theory]
    [InlineData(-1, 512)]
    [InlineData(0, 0)]
    [InlineData(0, -512)]
    [InlineData(1 << 20, 512)]
    [InlineData((1 << 20) - 511, 512)]
    [InlineData(long.MaxValue, int.MaxValue)]
    public async Task A_range_beyond_the_export_is_not_sent(long offset, int length)
    {
        await using FakeNbdServer server = Serve(_ => Task.CompletedTask);
        await using NbdClient client = await ConnectAsync(server);

        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.CacheAsync(offset, length, Token));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.GetBlockStatusAsync(offset, length, Token));
    }

    [Fact]
    public async Task Many_callers_at_once_each_get_their_own_reply()
    {
        const int Callers = 48, CallsEach = 100;
        var random = new Random(4711);
        var most = 0;
        await using FakeNbdServer server = Serve(async connection =>
        {
            // Answers whichever request it likes.
            var received = Channel.CreateUnbounded<FakeNbdRequest>();
            Task receiving = ReceiveAllAsync(connection, received.Writer);
            var open = new List<FakeNbdRequest>();
            for (var answered = 0; answered < Callers * CallsEach; answered++)
            {
                while (open.Count == 0 || (received.Reader.TryPeek(out _) && random.Next(4) != 0))
                {
                    open.Add(await received.Reader.ReadAsync(Token));
                }

                most = Math.Max(most, open.Count);
                int chosen = random.Next(open.Count);
                FakeNbdRequest request = open[chosen];
                open.RemoveAt(chosen);
                await connection.SendAsync(request.Type == 0
                    ? Wire.Data(request.Cookie, request.Offset, BitConverter.GetBytes(request.Offset))
                    : Wire.SimpleReply(request.Cookie, request.Offset % 3 == 0 ? 5u : 0));
            }

            await receiving;
        });
        await using NbdClient client = await ConnectAsync(server);

        async Task CallAsync(int caller)
        {
            var destination = new byte[8];
            for (var i = 0; i < CallsEach; i++)
            {
                long offset = (caller * CallsEach) + i;
                if (i % 2 == 0)
                {
                    await client.ReadAsync(offset, destination, Token);
                    Assert.Equal(offset, BitConverter.ToInt64(destination));
                }
                else if (offset % 3 == 0)
                {
                    await Assert.ThrowsAsync<NbdCommandException>(() => client.CacheAsync(offset, 1, Token));
                }
                else
                {
                    await client.CacheAsync(offset, 1, Token);
                }
            }
        }

        await Soon(Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(() => CallAsync(caller)))));
        Assert.InRange(most, 2, 16);
        await client.DisposeAsync();
        await Soon(server.Script);
    }
}
