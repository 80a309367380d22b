using System.Threading.Channels;
using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

public sealed class NbdCancellationTests : NbdTest
{
    [Fact]
    public async Task A_cancelled_call_is_over_at_once_but_its_slot_stays_taken_until_the_reply()
    {
        var received = Channel.CreateUnbounded<FakeNbdRequest>();
        var answer = Channel.CreateUnbounded<ulong>();
        await using FakeNbdServer server = Serve(connection => Task.WhenAll(ReceiveAllAsync(connection, received.Writer), AnswerAllAsync(connection, answer.Reader)));
        await using NbdClient client = await ConnectAsync(server, BothContexts with { MaxInFlight = 1 });
        using var cancel = new CancellationTokenSource();

        Task cancelled = client.CacheAsync(0, 512, cancel.Token);
        FakeNbdRequest request = await Soon(received.Reader.ReadAsync(Token).AsTask());
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(cancelled));

        Task next = client.CacheAsync(512, 512, Token);
        Task queued = client.CacheAsync(1024, 512, cancel.Token); // cancelled already: never gets a slot
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(queued));
        Assert.False(received.Reader.TryRead(out _));

        answer.Writer.TryWrite(request.Cookie); // swallowed
        FakeNbdRequest second = await Soon(received.Reader.ReadAsync(Token).AsTask());
        Assert.Equal(512, second.Offset);
        answer.Writer.TryWrite(second.Cookie);
        await Soon(next);
        Assert.True(client.IsConnected);
        answer.Writer.TryComplete();
    }

    [Fact]
    public async Task After_a_cancelled_read_its_memory_is_not_touched()
    {
        var cancelled = new TaskCompletionSource();
        var received = new TaskCompletionSource();
        await using FakeNbdServer server = Serve(async connection =>
        {
            FakeNbdRequest read = await connection.ReceiveRequestAsync();
            await connection.SendAsync(Wire.Data(read.Cookie, 0, [1], done: false));
            received.SetResult();
            await cancelled.Task;
            await connection.SendAsync(Wire.Data(read.Cookie, 1, [2], done: false), Wire.Hole(read.Cookie, 2, 1));
            FakeNbdRequest flush = await connection.ReceiveRequestAsync();
            await connection.SendAsync(Wire.SimpleReply(flush.Cookie));
        });
        await using NbdClient client = await ConnectAsync(server);
        using var cancel = new CancellationTokenSource();
        byte[] destination = [9, 9, 9];
        Task reading = client.ReadAsync(0, destination, cancel.Token);
        await Soon(received.Task);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(reading));
        cancelled.SetResult();

        await Soon(client.FlushAsync(Token)); // its reply comes behind the late chunks
        Assert.Equal([9, 9], destination[1..]);
    }

    [Fact]
    public async Task Cancellations_that_race_with_replies_mix_nothing_up_and_lose_no_slot()
    {
        const int Callers = 32, CallsEach = 200;
        await using FakeNbdServer server = Serve(async connection =>
        {
            FakeNbdRequest request;
            while ((request = await connection.ReceiveRequestAsync()).Type == 0)
            {
                await connection.SendAsync(Wire.Data(request.Cookie, request.Offset, BitConverter.GetBytes(request.Offset)));
            }

            // The flush that ends the storm; then nothing is answered before all slots are in flight at once.
            await connection.SendAsync(Wire.SimpleReply(request.Cookie));
            var last = new List<FakeNbdRequest>();
            while (last.Count < 16)
            {
                last.Add(await connection.ReceiveRequestAsync());
            }

            await connection.SendAsync([.. last.Select(r => Wire.SimpleReply(r.Cookie))]);
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server);
        var (cancelled, answered) = (0, 0);

        async Task CallAsync(int caller)
        {
            var random = new Random(caller);
            for (var i = 0; i < CallsEach; i++)
            {
                long offset = (caller * CallsEach) + i;
                var destination = new byte[8];
                using var cancel = new CancellationTokenSource();
                Task reading = client.ReadAsync(offset, destination, cancel.Token);
                for (int yields = random.Next(20); yields > 0; yields--)
                {
                    await Task.Yield();
                }

                if (random.Next(2) == 0)
                {
                    await cancel.CancelAsync();
                }

                try
                {
                    await reading;
                    Assert.Equal(offset, BitConverter.ToInt64(destination));
                    Interlocked.Increment(ref answered);
                }
                catch (OperationCanceledException)
                {
                    Interlocked.Increment(ref cancelled);
                }
            }
        }

        await Soon(Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(() => CallAsync(caller)))));
        Assert.True(cancelled > 0 && answered > 0, $"{cancelled} cancelled, {answered} answered");

        await Soon(client.FlushAsync(Token));
        await Soon(Task.WhenAll(Enumerable.Range(0, 16).Select(_ => client.CacheAsync(0, 512, Token))));
        Assert.True(client.IsConnected);
        await client.DisposeAsync();
        await Soon(server.Script);
    }
}
