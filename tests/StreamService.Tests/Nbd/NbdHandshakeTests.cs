using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Time.Testing;
using StreamService.Qemu.Nbd;

namespace StreamService.Tests.Nbd;

public sealed class NbdHandshakeTests : NbdTest
{
    [Fact]
    public async Task Tells_what_the_server_said_of_the_export()
    {
        var export = new FakeNbdExport { Size = 123 << 20, BlockSizes = (512, 65536, 1 << 20) };
        string? name = null;
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(export);
            name = connection.ExportName;
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server);

        Assert.True(client.IsConnected);
        Assert.Equivalent(
            new NbdExportInfo
            {
                Size = 123 << 20,
                ReadOnly = true,
                CanCache = true,
                CanFlush = true,
                CanMultiConn = true,
                MinimumBlockSize = 512,
                PreferredBlockSize = 65536,
                MaximumPayload = 1 << 20,
                MetadataContexts = ["base:allocation", "qemu:allocation-depth"],
            },
            client.Export,
            strict: true);
        await client.DisposeAsync();
        await Soon(server.Script);
        Assert.Equal("vda", name);
    }

    [Fact]
    public async Task Assumes_the_protocols_block_sizes_where_the_server_names_none()
    {
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(new FakeNbdExport { BlockSizes = null, Flags = 1 });
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server);

        Assert.Equal((1, 4096, 32 << 20), (client.Export.MinimumBlockSize, client.Export.PreferredBlockSize, client.Export.MaximumPayload));
        Assert.False(client.Export.ReadOnly || client.Export.CanCache || client.Export.CanFlush || client.Export.CanMultiConn);
    }

    [Fact]
    public async Task A_server_may_grant_fewer_contexts_than_asked_for()
    {
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(new FakeNbdExport { Contexts = new Dictionary<uint, string> { [3] = "base:allocation" } });
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server);

        Assert.Equal(["base:allocation"], client.Export.MetadataContexts);
    }

    [Fact]
    public async Task A_refused_export_keeps_the_servers_words()
    {
        await using var server = new FakeNbdServer(async connection =>
        {
            await AgreeOnStructuredRepliesAsync(connection);
            await connection.ReceiveOptionAsync();
            await connection.SendAsync(Wire.OptionReply(7, 0x80000006, "export 'vda' not present"u8.ToArray()));
            await connection.DrainAsync();
        });

        NbdRefusedException refused = await Assert.ThrowsAsync<NbdRefusedException>(() => ConnectAsync(server, new NbdClientOptions()));
        Assert.True(refused.IsUnknownExport);
        Assert.Equal("The NBD server refused export \"vda\" with ErrorUnknownExport: export 'vda' not present.", refused.Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Connects_over_tcp_by_address_and_by_name(bool byName)
    {
        await using var server = new FakeNbdServer(
            async connection =>
            {
                await connection.HandshakeAsync();
                await connection.DrainAsync();
            },
            tcp: true);
        EndPoint endPoint = byName ? new DnsEndPoint("localhost", ((IPEndPoint)server.EndPoint).Port) : server.EndPoint;
        await using NbdClient client = await Soon(NbdClient.ConnectAsync(endPoint, "", null, Token));

        Assert.Equal(1 << 20, client.Export.Size);
    }

    [Fact]
    public async Task Goes_on_over_tls()
    {
        using X509Certificate2 certificate = NewCertificate();
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(new FakeNbdExport { Certificate = certificate });
            FakeNbdRequest request = await connection.ReceiveRequestAsync();
            await connection.SendAsync(Wire.SimpleReply(request.Cookie));
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server, Tls(certificate));

        await Soon(client.FlushAsync(Token));
    }

    [Fact]
    public async Task A_certificate_that_is_not_trusted_ends_it()
    {
        using X509Certificate2 certificate = NewCertificate();
        using X509Certificate2 other = NewCertificate();
        await using var server = new FakeNbdServer(connection => connection.HandshakeAsync(new FakeNbdExport { Certificate = other }));

        NbdException failed = await Assert.ThrowsAsync<NbdException>(() => ConnectAsync(server, Tls(certificate)));
        Assert.StartsWith("TLS with the NBD server failed", failed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Never_falls_back_to_plain_text()
    {
        using X509Certificate2 certificate = NewCertificate();
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(); // answers STARTTLS with "unsupported"
        });

        NbdRefusedException refused = await Assert.ThrowsAsync<NbdRefusedException>(() => ConnectAsync(server, Tls(certificate)));
        Assert.Equal("The NBD server refused TLS with ErrorUnsupported.", refused.Message);
    }

    [Fact]
    public async Task Plain_text_behind_the_start_of_tls_is_not_believed()
    {
        using X509Certificate2 certificate = NewCertificate();
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.SendAsync(Wire.Greeting());
            await connection.ReceiveAsync(4);
            await connection.ReceiveOptionAsync();
            await connection.SendAsync([.. Wire.OptionReply(5, 1), .. Wire.OptionReply(8, 1)]);
            await connection.DrainAsync();
        });

        NbdException violation = await Assert.ThrowsAsync<NbdException>(() => ConnectAsync(server, Tls(certificate)));
        Assert.Contains("plain text follows", violation.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_silent_server_is_given_up_after_the_connect_timeout()
    {
        var time = new FakeTimeProvider();
        var connected = new TaskCompletionSource();
        await using var server = new FakeNbdServer(async connection =>
        {
            connected.SetResult();
            await connection.DrainAsync();
        });
        Task<NbdClient> connecting = ConnectAsync(server, new NbdClientOptions { TimeProvider = time, ConnectTimeout = TimeSpan.FromSeconds(3) });
        await Soon(connected.Task);

        time.Advance(TimeSpan.FromSeconds(2.9));
        Assert.False(connecting.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.2));
        NbdException late = await Assert.ThrowsAsync<NbdException>(() => connecting);
        Assert.Contains("within 00:00:03", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connecting_can_be_cancelled()
    {
        using var cancel = new CancellationTokenSource();
        await using var server = new FakeNbdServer(async connection =>
        {
            await cancel.CancelAsync();
            await connection.DrainAsync();
        });

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(NbdClient.ConnectAsync(server.EndPoint, "vda", null, cancel.Token)));
    }

    [Fact]
    public async Task Nobody_listening_is_an_nbd_exception()
    {
        await Assert.ThrowsAsync<NbdException>(() => Soon(NbdClient.ConnectAsync(new IPEndPoint(IPAddress.Loopback, 1), "vda", null, Token)));
        await Assert.ThrowsAsync<NbdException>(() => Soon(NbdClient.ConnectAsync(new DnsEndPoint("localhost", 1), "vda", null, Token)));
    }

    public static TheoryData<string> MalformedNames => [.. Malformed.Keys];

    [Theory]
    [MemberData(nameof(MalformedNames))]
    public async Task A_malformed_handshake_is_named(string name)
    {
        (Func<FakeNbdConnection, Task> script, string expected) = Malformed[name];
        await using var server = new FakeNbdServer(script);

        NbdException violation = await Assert.ThrowsAnyAsync<NbdException>(() => ConnectAsync(server));
        Assert.Contains(expected, violation.Message, StringComparison.Ordinal);
    }

    private static readonly Dictionary<string, (Func<FakeNbdConnection, Task> Script, string Expected)> Malformed = new()
    {
        ["closed at once"] = (_ => Task.CompletedTask, "closed the connection; the greeting was due"),
        ["greeting cut off"] = (c => c.SendAsync("NBDMAG"u8.ToArray()), "in the middle of the greeting: 6 of 18"),
        ["no NBD server"] = (c => c.SendAsync("HTTP/1.1 400 Bad Request\r\n\r\n"u8.ToArray()), "in place of NBDMAGIC"),
        ["oldstyle"] = (c => c.SendAsync(new Wire().Text("NBDMAGIC").U64(0x00420281861253).U64(0).ToArray()), "fixed newstyle"),
        ["not fixed newstyle"] = (c => c.SendAsync(Wire.Greeting(flags: 2)), "fixed newstyle"),
        ["no structured replies"] = (async c =>
        {
            await c.SendAsync(Wire.Greeting());
            await c.ReceiveAsync(4);
            await c.ReceiveOptionAsync();
            await c.SendAsync(Wire.OptionReply(8, 0x80000001));
        }, "refused structured replies with ErrorUnsupported"),
        ["bad reply magic"] = (InReplyToGo(new byte[20]), "which is not its magic"),
        ["reply to another option"] = (InReplyToGo(Wire.OptionReply(6, 1)), "a reply to option 6 where Go was sent"),
        ["unknown reply type"] = (InReplyToGo(Wire.OptionReply(7, 99)), "a reply 99 of 0 bytes"),
        ["acknowledgement with payload"] = (InReplyToGo(Wire.OptionReply(7, 1, [1])), "a reply Ack of 1 bytes"),
        ["reply too long"] = (InReplyToGo(new Wire().U64(0x0003e889045565a9).U32(7).U32(3).U32(int.MaxValue).ToArray()), "a reply of 2147483647 bytes"),
        ["reply cut off"] = (InReplyToGo(Wire.OptionReply(7, 3, Wire.ExportInfo(1, 1))[..^1]), "in the middle of the reply to an option: 11 of 12"),
        ["nothing on the export"] = (InReplyToGo(Wire.OptionReply(7, 1)), "without a word on the export"),
        ["export information too short"] = (InReplyToGo(Wire.OptionReply(7, 3, [0, 0, 1])), "information Export of 1 bytes"),
        ["information without its kind"] = (InReplyToGo(Wire.OptionReply(7, 3, [0])), "a reply Info of 1 bytes"),
        ["block sizes too short"] = (InReplyToGo(Wire.OptionReply(7, 3, [0, 3, 1])), "information BlockSize of 1 bytes"),
        ["size past 63 bits"] = (InReplyToGo(Wire.OptionReply(7, 3, Wire.ExportInfo(ulong.MaxValue, 1)), Wire.OptionReply(7, 1)), "an export of 18446744073709551615 bytes"),
        ["no flags"] = (InReplyToGo(Wire.OptionReply(7, 3, Wire.ExportInfo(1, 0)), Wire.OptionReply(7, 1)), "with flags 0x0"),
        ["minimum block size 0"] = (WithBlockSizes(0, 4096, 1 << 20), "block sizes 0, 4096"),
        ["minimum block size no power of two"] = (WithBlockSizes(513, 4096, 1 << 20), "block sizes 513"),
        ["minimum block size too large"] = (WithBlockSizes(1 << 17, 1 << 17, 1 << 20), "block sizes 131072"),
        ["preferred below minimum"] = (WithBlockSizes(4096, 512, 1 << 20), "block sizes 4096, 512"),
        ["maximum below minimum"] = (WithBlockSizes(4096, 4096, 512), "block sizes 4096, 4096, 512"),
        ["NUL in a message"] = (InReplyToGo(Wire.OptionReply(7, 0x80000006, [65, 0, 66])), "holds a NUL"),
        ["information without end"] = (InReplyToGo([.. Enumerable.Repeat(Wire.OptionReply(7, 3, [0, 2]), 64)]), "without end"),
        ["a context not asked for"] = (InReplyToContexts(Wire.OptionReply(10, 4, Wire.Context(1, "qemu:dirty-bitmap:x"))), "which was not asked for"),
        ["a context granted twice"] = (InReplyToContexts(
            Wire.OptionReply(10, 4, Wire.Context(1, "base:allocation")), Wire.OptionReply(10, 4, Wire.Context(2, "base:allocation"))), "granted already"),
        ["one id for two contexts"] = (InReplyToContexts(
            Wire.OptionReply(10, 4, Wire.Context(1, "base:allocation")), Wire.OptionReply(10, 4, Wire.Context(1, "qemu:allocation-depth"))), "granted already"),
        ["NUL in a context"] = (InReplyToContexts(Wire.OptionReply(10, 4, Wire.Context(1, "base:\0allocation"))), "holds a NUL"),
        ["a context without a name"] = (InReplyToContexts(Wire.OptionReply(10, 4, [0, 0, 0, 1])), "a reply MetaContext of 4 bytes"),
    };

    private static async Task AgreeOnStructuredRepliesAsync(FakeNbdConnection connection)
    {
        await connection.SendAsync(Wire.Greeting());
        await connection.ReceiveAsync(4);
        await connection.ReceiveOptionAsync();
        await connection.SendAsync(Wire.OptionReply(8, 1));
    }

    private static Func<FakeNbdConnection, Task> InReplyToContexts(params byte[][] replies) => async connection =>
    {
        await AgreeOnStructuredRepliesAsync(connection);
        await connection.ReceiveOptionAsync();
        await connection.SendAsync(replies);
    };

    private static Func<FakeNbdConnection, Task> InReplyToGo(params byte[][] replies) => async connection =>
    {
        await InReplyToContexts(Wire.OptionReply(10, 1))(connection);
        await connection.ReceiveOptionAsync();
        await connection.SendAsync(replies);
    };

    private static Func<FakeNbdConnection, Task> WithBlockSizes(uint minimum, uint preferred, uint maximum) => InReplyToGo(
        Wire.OptionReply(7, 3, Wire.ExportInfo(1 << 20, 1)),
        Wire.OptionReply(7, 3, Wire.BlockSizes(minimum, preferred, maximum)),
        Wire.OptionReply(7, 1));

    private static NbdClientOptions Tls(X509Certificate2 trusted) => new()
    {
        TlsOptions = new SslClientAuthenticationOptions
        {
            TargetHost = "nbd.example",
            RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate?.GetCertHashString() == trusted.GetCertHashString(),
        },
    };

    private static X509Certificate2 NewCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=nbd.example", key, HashAlgorithmName.SHA256);
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        return request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
    }
}
