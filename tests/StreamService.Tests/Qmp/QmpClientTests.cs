using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using StreamService.Qemu.Qmp;

namespace StreamService.Tests.Qmp;

public sealed class QmpClientTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);
    private static readonly QmpClientOptions Defaults = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Commands_at_once_get_each_their_own_answer_in_whatever_order()
    {
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            var received = new List<(string Command, long Id, JsonElement)>();
            for (var i = 0; i < 10; i++)
                received.Add((await connection.ReceiveAsync())!.Value);
            foreach (var (command, id, _) in Enumerable.Reverse(received))
                await connection.SendLineAsync($$"""{"id": {{id}}, "return": "{{command}}"}""");
            await connection.UntilClosedAsync();
        });
        await using var client = await ConnectAsync(server);

        var answers = await Soon(Task.WhenAll(Enumerable.Range(0, 10).Select(i => client.ExecuteAsync($"c{i}", null, null, Token))));

        Assert.Equal(Enumerable.Range(0, 10).Select(i => $"c{i}"), answers.Select(answer => answer.GetString()));
        Assert.Equal((new Version(7, 2, 22), "Debian"), (client.Greeting.Version, client.Greeting.Package));
    }

    [Fact]
    public async Task A_refusal_fails_its_command_alone()
    {
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            var (_, id, arguments) = (await connection.ReceiveAsync())!.Value;
            Assert.Equal("e1", arguments.GetProperty("id").GetString());
            await connection.SendLineAsync($$"""{"id": {{id}}, "error": {"class": "GenericError", "desc": "no such export"} }""");
            await connection.AnswerAsync("[]");
            await connection.UntilClosedAsync();
        });
        await using var client = await ConnectAsync(server);

        var refusal = await Soon(Assert.ThrowsAsync<QmpCommandException>(
            () => client.ExecuteAsync("block-export-del", new JsonObject { ["id"] = "e1" }, null, Token)));
        Assert.Equal("no such export", refusal.Description);
        Assert.Empty(await Soon(client.QueryJobsAsync(Token)));
    }

    [Fact]
    public async Task Events_arrive_beside_the_answers_and_the_oldest_are_dropped_when_nobody_reads()
    {
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            for (var i = 0; i < 300; i++)
                await connection.SendLineAsync($$"""{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "E{{i}}", "data": {"n": {{i}} } }""");
            await connection.AnswerAsync("1");
            await connection.UntilClosedAsync();
        });
        await using var client = await ConnectAsync(server, new QmpClientOptions { EventBacklog = 5 });

        await Soon(client.ExecuteAsync("c", null, null, Token));

        for (var i = 295; i < 300; i++)
            Assert.Equal(i, (await Soon(client.Events.ReadAsync(Token).AsTask())).Data.GetProperty("n").GetInt32());
    }

    [Fact]
    public async Task The_connections_end_fails_all_that_is_pending_and_all_that_comes_later()
    {
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            await connection.ReceiveAsync();
            await connection.ReceiveAsync();
        });
        await using var client = await ConnectAsync(server);

        var pending = new[] { "a", "b" }.Select(command => client.ExecuteAsync(command, null, null, Token)).ToList();

        foreach (var command in pending)
            Assert.Contains("closed", (await Soon(Assert.ThrowsAsync<QmpException>(() => command))).Message, StringComparison.Ordinal);
        await Soon(client.Closed);
        await Soon(Assert.ThrowsAsync<QmpException>(() => client.ExecuteAsync("c", null, null, Token)));
        Assert.False(await Soon(client.Events.WaitToReadAsync(Token).AsTask()));
    }

    [Fact]
    public async Task An_answer_that_nobody_waits_for_any_more_is_no_fault()
    {
        var cancelled = new TaskCompletionSource();
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            var (_, id, _) = (await connection.ReceiveAsync())!.Value;
            await cancelled.Task;
            await connection.SendLineAsync($$"""{"id": {{id}}, "return": {} }""");
            await connection.AnswerAsync("2");
            await connection.UntilClosedAsync();
        });
        await using var client = await ConnectAsync(server);

        using var giveUp = new CancellationTokenSource();
        var first = client.ExecuteAsync("slow", null, null, giveUp.Token);
        await giveUp.CancelAsync();
        await Soon(Assert.ThrowsAnyAsync<OperationCanceledException>(() => first));
        cancelled.SetResult();

        Assert.Equal(2, (await Soon(client.ExecuteAsync("next", null, null, Token))).GetInt32());
    }

    [Fact]
    public async Task A_monitor_that_does_not_answer_is_told_from_a_broken_one()
    {
        var time = new FakeTimeProvider();
        var received = new TaskCompletionSource();
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            await connection.ReceiveAsync();
            received.SetResult();
            await connection.UntilClosedAsync();
        });
        await using var client = await ConnectAsync(server, new QmpClientOptions { Time = time });

        var silent = client.ExecuteAsync("query-block", null, null, Token);
        await Soon(received.Task);
        time.Advance(TimeSpan.FromSeconds(31));

        await Soon(Assert.ThrowsAsync<QmpTimeoutException>(() => silent));
        Assert.False(client.Closed.IsCompleted);
    }

    [Fact]
    public async Task A_socket_without_a_listener_is_dead()
    {
        string path;
        await using (var server = FakeQmpServer.Serve(_ => Task.CompletedTask))
            path = server.SocketPath;
        await Soon(Assert.ThrowsAsync<QmpDeadException>(() => QmpClient.ConnectAsync(path, Defaults, Token)));

        using var bound = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var abandoned = Path.Combine(Path.GetTempPath(), $"qmp-{Guid.NewGuid():N}.sock");
        bound.Bind(new UnixDomainSocketEndPoint(abandoned));
        await Soon(Assert.ThrowsAsync<QmpDeadException>(() => QmpClient.ConnectAsync(abandoned, Defaults, Token)));
        await Soon(Assert.ThrowsAsync<QmpDeadException>(() => QmpClient.ConnectAsync($"/{new string('x', 200)}", Defaults, Token)));
    }

    [Fact]
    public async Task A_monitor_that_does_not_greet_is_busy()
    {
        await using var server = new FakeQmpServer(connection => connection.UntilClosedAsync());
        var time = new FakeTimeProvider();

        var connecting = QmpClient.ConnectAsync(server.SocketPath, new QmpClientOptions { Time = time }, Token);
        await AdvanceUntilAsync(time, connecting);

        await Assert.ThrowsAsync<QmpBusyException>(() => connecting);
    }

    [Fact]
    public async Task Whoever_waits_for_a_busy_monitor_gets_it_when_the_other_leaves()
    {
        var left = new TaskCompletionSource();
        await using var server = new FakeQmpServer(async connection =>
        {
            await left.Task;
            await connection.GreetAsync();
            await connection.UntilClosedAsync();
        });
        var time = new FakeTimeProvider();
        var busy = new TaskCompletionSource();

        var connecting = QmpClient.ConnectAsync(server.SocketPath, new QmpClientOptions { Time = time, Busy = busy.SetResult }, Token);
        await AdvanceUntilAsync(time, busy.Task);
        Assert.False(connecting.IsCompleted);
        left.SetResult();

        await using var client = await Soon(connecting);
    }

    [Theory]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n")]
    [InlineData("{}\n")]
    [InlineData("[1]\n")]
    [InlineData("""{"QMP": {"version": {}}}""" + "\n")]
    [InlineData("""{"QMP": 7}""" + "\n")]
    [InlineData("""{"QMP": {"ver""")]
    public async Task What_does_not_greet_as_a_monitor_is_refused(string greeting)
    {
        await using var server = new FakeQmpServer(connection => connection.SendAsync(greeting));

        await Soon(Assert.ThrowsAnyAsync<QmpException>(() => QmpClient.ConnectAsync(server.SocketPath, Defaults, Token)));
    }

    [Theory]
    [InlineData("garbage\n")]
    [InlineData("[]\n")]
    [InlineData("""{"return": {}}""" + "\n")]
    [InlineData("""{"return": {}, "id": 4711}""" + "\n")]
    [InlineData("""{"return": {}, "id": "2"}""" + "\n")]
    [InlineData("""{"return": {}, "id": 2.5}""" + "\n")]
    [InlineData("""{"id": 2}""" + "\n")]
    [InlineData("""{"error": {"class": "GenericError", "desc": "JSON parse error"}}""" + "\n")]
    [InlineData("\xff\xfe\n")]
    [InlineData("""{"event": "\ud800"}""" + "\n")]
    [InlineData("""{"\ud800": 1}""" + "\n")]
    [InlineData("""{"id": 2, "error": {"class": "\ud800", "desc": ""} }""" + "\n")]
    [InlineData("""{"return":""")]
    public async Task A_malformed_message_ends_the_connection_and_what_is_pending(string message)
    {
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            await connection.ReceiveAsync();
            await connection.SendAsync(Encoding.Latin1.GetBytes(message));
        });
        await using var client = await ConnectAsync(server);

        await Soon(Assert.ThrowsAnyAsync<QmpException>(() => client.ExecuteAsync("query-block", null, null, Token)));
        await Soon(client.Closed);
    }

    [Fact]
    public async Task A_line_without_end_is_cut_off_at_the_limit()
    {
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            await connection.ReceiveAsync();
            var part = Encoding.ASCII.GetBytes(new string('x', 10_000));
            while (true)
                await connection.SendAsync(part);
        });
        await using var client = await ConnectAsync(server, new QmpClientOptions { LongestMessage = 100_000 });

        var fault = await Soon(Assert.ThrowsAsync<QmpException>(() => client.ExecuteAsync("query-block", null, null, Token)));

        Assert.Contains("100000", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_message_in_single_bytes_is_one_message()
    {
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            var (_, id, _) = (await connection.ReceiveAsync())!.Value;
            var text = Encoding.UTF8.GetBytes($$"""{"id": {{id}}, "return": "{{new string('ä', 6000)}}"}""" + "\r\n");
            foreach (var single in text)
                await connection.SendAsync(new[] { single });
            await connection.UntilClosedAsync();
        });
        await using var client = await ConnectAsync(server);

        Assert.Equal(6000, (await Soon(client.ExecuteAsync("c", null, null, Token))).GetString()!.Length);
    }

    [Fact]
    public async Task An_open_file_reaches_the_monitor()
    {
        var received = new TaskCompletionSource<string>();
        await using var server = FakeQmpServer.Serve(async connection =>
        {
            received.SetResult(ReceiveFileText(connection.Socket));
            await connection.SendLineAsync("""{"id": 2, "return": {}}""");
            await connection.UntilClosedAsync();
        });
        await using var client = await ConnectAsync(server);
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "as I was opened", Token);

        using (var handle = File.OpenHandle(file))
            await Soon(client.ExecuteAsync("getfd", new JsonObject { ["fdname"] = "n" }, [handle], Token));

        Assert.Equal("as I was opened", await Soon(received.Task));
        File.Delete(file);
    }

    private static string ReceiveFileText(Socket socket)
    {
        using var recv = FileReceiver.Receive(socket);
        using var reader = new StreamReader(new FileStream(recv, FileAccess.Read));
        return reader.ReadToEnd();
    }

    private static async Task AdvanceUntilAsync(FakeTimeProvider time, Task reached)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        while (!reached.IsCompleted)
        {
            deadline.Token.ThrowIfCancellationRequested();
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }
    }

    private static Task<QmpClient> ConnectAsync(FakeQmpServer server, QmpClientOptions? options = null) =>
        Soon(QmpClient.ConnectAsync(server.SocketPath, options ?? Defaults, Token));

    private static Task<T> Soon<T>(Task<T> task) => task.WaitAsync(Deadline, Token);

    private static Task Soon(Task task) => task.WaitAsync(Deadline, Token);
}
