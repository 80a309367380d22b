using System.Net;
using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

/// <summary>What a server answers to NBD_OPT_LIST.</summary>
public sealed class NbdListTests : NbdTest
{
    [Fact]
    public async Task Lists_every_export_by_name_and_says_goodbye()
    {
        uint goodbye = 0;
        await using var server = new FakeNbdServer(async connection =>
        {
            await InReplyToList(Export("vda"), Export(""), Export("größe", "of a disk"), Wire.OptionReply(3, 1))(connection);
            (goodbye, _) = await connection.ReceiveOptionAsync();
            await connection.DrainAsync();
        });

        Assert.Equal(["vda", "", "größe"], await ListAsync(server));
        await Soon(server.Script);
        Assert.Equal(2u, goodbye);
    }

    [Fact]
    public async Task A_server_that_closes_after_its_list_has_listed()
    {
        await using var server = new FakeNbdServer(InReplyToList(Export("vda"), Wire.OptionReply(3, 1)));
        Assert.Equal(["vda"], await ListAsync(server));
    }

    [Theory]
    [InlineData(0x80000001, true)]
    [InlineData(0x80000002, true)]
    [InlineData(0x80000007, false)]
    public async Task A_server_may_refuse(uint reply, bool unsupported)
    {
        await using var server = new FakeNbdServer(InReplyToList(Wire.OptionReply(3, reply, "not here"u8.ToArray())));

        NbdRefusedException refused = await Assert.ThrowsAsync<NbdRefusedException>(() => ListAsync(server));
        Assert.Equal(unsupported, refused.IsUnsupported);
        Assert.False(refused.IsUnknownExport);
        Assert.Contains("refused the list of its exports", refused.Message, StringComparison.Ordinal);
        Assert.EndsWith("not here.", refused.Message, StringComparison.Ordinal);
    }

    public static TheoryData<string> MalformedNames => [.. Malformed.Keys];

    [Theory]
    [MemberData(nameof(MalformedNames))]
    public async Task A_malformed_list_is_named(string name)
    {
        (byte[][] replies, string expected) = Malformed[name];
        await using var server = new FakeNbdServer(InReplyToList(replies));

        NbdException violation = await Assert.ThrowsAsync<NbdException>(() => ListAsync(server));
        Assert.Contains(expected, violation.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_listening_is_an_nbd_exception() =>
        await Assert.ThrowsAsync<NbdException>(() => Soon(NbdClient.ListExportsAsync(new IPEndPoint(IPAddress.Loopback, 1), null, Token)));

    private static readonly Dictionary<string, (byte[][] Replies, string Expected)> Malformed = new()
    {
        ["no end"] = ([Export("vda")], "closed the connection"),
        ["without end"] = ([.. Enumerable.Repeat(Export("vda"), 4097)], "lists exports without end"),
        ["name longer than the reply"] = ([Wire.OptionReply(3, 2, new Wire().U32(4).Text("vda").ToArray())], "of 4 bytes in a reply with 3"),
        ["name of 4 GiB"] = ([Wire.OptionReply(3, 2, new Wire().U32(uint.MaxValue).ToArray())], "of 4294967295 bytes in a reply with 0"),
        ["no name"] = ([Wire.OptionReply(3, 2, [0, 0, 0])], "a reply Server of 3 bytes"),
        ["reply too long"] = ([new Wire().U64(0x0003e889045565a9).U32(3).U32(2).U32(int.MaxValue).ToArray()], "a reply of 2147483647 bytes"),
        ["NUL in a name"] = ([Export("a\0b")], "holds a NUL"),
        ["reply to another option"] = ([Wire.OptionReply(7, 1)], "a reply to option Go where List was sent"),
        ["acknowledgement with payload"] = ([Wire.OptionReply(3, 1, [1])], "a reply Ack of 1 bytes"),
        ["unknown reply type"] = ([Wire.OptionReply(3, 99)], "a reply 99 of 0 bytes"),
    };

    private static Task<IReadOnlyList<string>> ListAsync(FakeNbdServer server) => Soon(NbdClient.ListExportsAsync(server.EndPoint, null, Token));

    private static byte[] Export(string name, string details = "") =>
        Wire.OptionReply(3, 2, new Wire().U32((uint)System.Text.Encoding.UTF8.GetByteCount(name)).Text(name).Text(details).ToArray());

    private static Func<FakeNbdConnection, Task> InReplyToList(params byte[][] replies) => async connection =>
    {
        await connection.SendAsync(Wire.Greeting());
        await connection.ReceiveAsync(4);
        (uint option, byte[] data) = await connection.ReceiveOptionAsync();
        Assert.Equal((3u, 0), (option, data.Length));
        await connection.SendAsync(replies);
    };
}
