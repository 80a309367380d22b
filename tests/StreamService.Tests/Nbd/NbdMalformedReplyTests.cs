using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

/// <summary>Each row: what the client asks, what the server answers, what the exception names. The server then stays silent, or closes.</summary>
public sealed class NbdMalformedReplyTests : NbdTest
{
    private const long Offset = 8192;
    private const int Length = 4096;

    private sealed record Row(Ask Ask, Func<ulong, byte[]> Answer, string Expected, bool Close = false);

    private enum Ask
    {
        Cache,
        Read,
        BlockStatus,
    }

    private static readonly byte[] Page = new byte[Length];

    private static readonly Dictionary<string, Row> Rows = new()
    {
        ["bad magic"] = new(Ask.Cache, _ => new byte[16], "a reply starts with 0x00000000"),
        ["request magic in place of a reply's"] = new(Ask.Cache, _ => new Wire().U32(0x25609513).U64(0).ToArray(), "0x25609513"),
        ["unknown cookie, simple"] = new(Ask.Cache, c => Wire.SimpleReply(c + (1 << 16)), "which no request in flight has"),
        ["unknown cookie, structured"] = new(Ask.Cache, c => Wire.Chunk(c + 1, 0, []), "which no request in flight has"),
        ["cookie of no slot"] = new(Ask.Cache, _ => Wire.SimpleReply(ulong.MaxValue), "which no request in flight has"),
        ["a simple reply behind chunks"] = new(Ask.Read, c => [.. Wire.Data(c, Offset, Page, done: false), .. Wire.Error(c, 5, "", done: false), .. Wire.SimpleReply(c)], "follows chunks"),
        ["simple reply to a read"] = new(Ask.Read, c => Wire.SimpleReply(c), "a simple reply to NBD_CMD_READ"),
        ["simple reply to block status"] = new(Ask.BlockStatus, c => Wire.SimpleReply(c), "a simple reply to NBD_CMD_BLOCK_STATUS"),
        ["closed without a reply"] = new(Ask.Cache, _ => [], "closed the connection; a reply was due", Close: true),
        ["magic cut off"] = new(Ask.Cache, c => Wire.SimpleReply(c)[..3], "in the middle of a reply: 3 of 4", Close: true),
        ["simple reply cut off"] = new(Ask.Cache, c => Wire.SimpleReply(c)[..15], "in the middle of a simple reply: 11 of 12", Close: true),
        ["chunk header cut off"] = new(Ask.Read, c => Wire.Data(c, Offset, Page)[..19], "in the middle of the header of a chunk", Close: true),
        ["data cut off"] = new(Ask.Read, c => Wire.Data(c, Offset, Page)[..^1], "closed the connection; the data of a chunk was due", Close: true),
        ["missing last chunk"] = new(Ask.Read, c => Wire.Data(c, Offset, Page, done: false), "closed the connection; a reply was due", Close: true),
        ["empty chunk that is not the last"] = new(Ask.Cache, c => Wire.Chunk(c, 0, [], done: false), "an empty chunk of 0 bytes, not marked as the last"),
        ["empty chunk with a payload"] = new(Ask.Cache, c => Wire.Chunk(c, 0, [1]), "an empty chunk of 1 bytes"),
        ["unknown chunk type"] = new(Ask.Read, c => Wire.Chunk(c, 77, []), "a chunk of type 77 in the reply to NBD_CMD_READ"),
        ["data in reply to cache"] = new(Ask.Cache, c => Wire.Data(c, Offset, Page), "a chunk of type 1 in the reply to NBD_CMD_CACHE"),
        ["data in reply to block status"] = new(Ask.BlockStatus, c => Wire.Data(c, Offset, Page), "a chunk of type 1"),
        ["a hole in reply to cache"] = new(Ask.Cache, c => Wire.Hole(c, Offset, 1), "a chunk of type 2"),
        ["extents in reply to a read"] = new(Ask.Read, c => Wire.Extents(c, 7, true, (512, 0)), "a chunk of type 5"),

        ["data of length near int.MaxValue"] = new(Ask.Read, c => Wire.Chunk(c, 1, [], length: int.MaxValue), "a data chunk of 2147483647 bytes"),
        ["data of length uint.MaxValue"] = new(Ask.Read, c => Wire.Chunk(c, 1, [], length: uint.MaxValue), "a data chunk of 4294967295 bytes"),
        ["data without data"] = new(Ask.Read, c => Wire.Data(c, Offset, []), "a data chunk of 8 bytes"),
        ["more data than asked for"] = new(Ask.Read, c => Wire.Data(c, Offset, [.. Page, 0]), "a data chunk of 4105 bytes"),
        ["data before what was asked"] = new(Ask.Read, c => Wire.Data(c, Offset - 1, Page), "4096 bytes at 8191"),
        ["data past what was asked"] = new(Ask.Read, c => Wire.Data(c, Offset + 1, Page), "4096 bytes at 8193"),
        ["data at an offset past 63 bits"] = new(Ask.Read, c => Wire.Data(c, -1, Page), "4096 bytes at 18446744073709551615"),
        ["data twice"] = new(Ask.Read, c => [.. Wire.Data(c, Offset, Page, done: false), .. Wire.Data(c, Offset, Page)], "overlap"),
        ["a hole over data"] = new(Ask.Read, c => [.. Wire.Data(c, Offset, Page, done: false), .. Wire.Hole(c, Offset + 10, 10)], "overlap"),
        ["too little data"] = new(Ask.Read, c => Wire.Data(c, Offset, Page[1..]), "ends before all of its bytes came"),
        ["no data at all"] = new(Ask.Read, c => Wire.Chunk(c, 0, []), "ends before all of its bytes came"),
        ["a gap"] = new(Ask.Read, c => [.. Wire.Hole(c, Offset, 100, done: false), .. Wire.Hole(c, Offset + 101, Length - 101)], "ends before all of its bytes came"),
        ["a hole of no bytes"] = new(Ask.Read, c => Wire.Hole(c, Offset, 0), "a chunk of 0 bytes"),
        ["a hole of uint.MaxValue bytes"] = new(Ask.Read, c => Wire.Hole(c, Offset, uint.MaxValue), "a chunk of 4294967295 bytes"),
        ["a hole chunk too short"] = new(Ask.Read, c => Wire.Chunk(c, 2, new byte[11]), "a hole chunk of 11 bytes"),

        ["extents too many"] = new(Ask.BlockStatus, c => Wire.Chunk(c, 5, [], length: (1 << 20) + 12), "a block status chunk of 1048588 bytes"),
        ["extents of length near int.MaxValue"] = new(Ask.BlockStatus, c => Wire.Chunk(c, 5, [], length: int.MaxValue - 3), "a block status chunk of 2147483644 bytes"),
        ["no extents"] = new(Ask.BlockStatus, c => Wire.Extents(c, 7, true), "a block status chunk of 4 bytes"),
        ["half an extent"] = new(Ask.BlockStatus, c => Wire.Chunk(c, 5, new byte[16]), "a block status chunk of 16 bytes"),
        ["extents cut off"] = new(Ask.BlockStatus, c => Wire.Extents(c, 7, true, (512, 0))[..^4], "in the middle of a block status descriptor", Close: true),
        ["an extent of zero length"] = new(Ask.BlockStatus, c => Wire.Extents(c, 7, true, (512, 0), (0, 1)), "zero length in base:allocation at 8704"),
        ["an extent beyond what was asked"] = new(Ask.BlockStatus, c => Wire.Extents(c, 7, true, (Length, 0), (512, 1)), "at 12288, beyond what was asked"),
        ["an extent beyond the export"] = new(Ask.BlockStatus, c => Wire.Extents(c, 7, true, (uint.MaxValue, 0)), "beyond the export's end"),
        ["extents of a context not granted"] = new(Ask.BlockStatus, c => Wire.Extents(c, 8, true, (512, 0)), "metadata context 8, which was not granted"),
        ["one context twice"] = new(Ask.BlockStatus, c => [.. Wire.Extents(c, 7, false, (512, 0)), .. Wire.Extents(c, 7, true, (512, 0))], "two block status chunks of base:allocation"),
        ["one context missing"] = new(Ask.BlockStatus, c => Wire.Extents(c, 7, true, (512, 0)), "of 1 metadata contexts where 2 were granted"),
        ["all contexts missing"] = new(Ask.BlockStatus, c => Wire.Chunk(c, 0, []), "of 0 metadata contexts where 2 were granted"),

        ["an error chunk too short"] = new(Ask.Cache, c => Wire.Chunk(c, 0x8001, new byte[5]), "an error chunk of 5 bytes"),
        ["an error with offset too short"] = new(Ask.Read, c => Wire.Chunk(c, 0x8002, new byte[13]), "an error chunk of 13 bytes"),
        ["an error chunk of length near int.MaxValue"] = new(Ask.Cache, c => Wire.Chunk(c, 0x8001, [], length: int.MaxValue), "an error chunk of 2147483647 bytes"),
        ["an error message longer than its chunk"] = new(Ask.Cache, c => Wire.Error(c, 5, "abc", messageLength: 4), "says that its message has 4"),
        ["an error message shorter than its chunk"] = new(Ask.Cache, c => Wire.Error(c, 5, "abc", messageLength: 2), "says that its message has 2"),
        ["an error message of 65535"] = new(Ask.Cache, c => Wire.Error(c, 5, "", messageLength: 65535), "says that its message has 65535"),
        ["an error type of tomorrow with a lying length"] = new(Ask.Cache, c => Wire.Chunk(c, 0x8099, new Wire().U32(5).U16(2).Text("a").ToArray()), "says that its message has 2"),
        ["an error message with NUL"] = new(Ask.Cache, c => Wire.Error(c, 5, "a\0b"), "holds a NUL"),
        ["an error chunk without an error"] = new(Ask.Cache, c => Wire.Error(c, 0, "fine"), "without an error"),
        ["an error chunk cut off"] = new(Ask.Cache, c => Wire.Error(c, 5, "abc")[..^1], "in the middle of an error chunk: 8 of 9", Close: true),
        ["errors without end"] = new(Ask.Cache, c => [.. Enumerable.Repeat(Wire.Error(c, 5, "", done: false), 65).SelectMany(b => b)], "more than 64 error chunks"),
    };

    public static TheoryData<string> Names => [.. Rows.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_malformed_reply_is_named_and_ends_the_connection(string name)
    {
        Row row = Rows[name];
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync();
            await connection.SendAsync(row.Answer((await connection.ReceiveRequestAsync()).Cookie));
            if (!row.Close)
            {
                await connection.DrainAsync(); // until the client has had enough
            }
        });
        await using NbdClient client = await ConnectAsync(server, BothContexts with { MaxInFlight = 1 });
        Task call = row.Ask switch
        {
            Ask.Cache => client.CacheAsync(Offset, Length, Token),
            Ask.Read => client.ReadAsync(Offset, new byte[Length], Token),
            _ => client.GetBlockStatusAsync(Offset, Length, Token),
        };

        NbdException named = await Assert.ThrowsAsync<NbdException>(() => Soon(call));
        Assert.Contains(row.Expected, named.Message, StringComparison.Ordinal);
        Assert.False(client.IsConnected);
        await Soon(server.Script);
    }

    [Fact]
    public async Task A_second_reply_to_one_request_is_named()
    {
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync();
            ulong cookie = (await connection.ReceiveRequestAsync()).Cookie;
            await connection.SendAsync(Wire.SimpleReply(cookie), Wire.SimpleReply(cookie));
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server);
        await Soon(client.CacheAsync(Offset, Length, Token));
        await Soon(server.Script); // the client hangs up

        NbdException named = await Assert.ThrowsAsync<NbdException>(() => client.FlushAsync(Token));
        Assert.Contains("which no request in flight has", named.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fragments_of_a_read_without_end_are_not_remembered()
    {
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync();
            FakeNbdRequest read = await connection.ReceiveRequestAsync();
            try
            {
                for (var i = 0; i < read.Length; i += 2)
                {
                    await connection.SendAsync(Wire.Data(read.Cookie, i, [1], done: false));
                }
            }
            catch (IOException)
            {
                // The client had enough.
            }
        });
        await using NbdClient client = await ConnectAsync(server);

        NbdException named = await Assert.ThrowsAsync<NbdException>(() => Soon(client.ReadAsync(0, new byte[16384], Token)));
        Assert.Contains("too many", named.Message, StringComparison.Ordinal);
    }
}
