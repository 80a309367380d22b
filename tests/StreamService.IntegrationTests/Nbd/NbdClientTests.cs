using System.Text.Json;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;

namespace StreamService.IntegrationTests.Nbd;

/// <summary>The client against QEMU's own server.</summary>
public sealed class NbdClientTests
{
    private const int Cluster = 64 * 1024;
    private const int Size = 64 * Cluster;

    private static readonly NbdClientOptions Options = new()
    {
        MetadataContexts = [NbdMetadataContext.BaseAllocation, NbdMetadataContext.AllocationDepth],
        RequestTimeout = TimeSpan.FromSeconds(20),
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    public async Task Caching_one_sector_populates_one_cluster_and_a_flush_shows_it_in_the_file(string format)
    {
        byte[] backing = Random();
        await using StorageDaemon daemon = await StorageDaemon.StartAsync(format, backing, Token);
        await using NbdClient client = await NbdClient.ConnectAsync(daemon.EndPoint, "disk", Options, Token);
        Assert.Equal((Size, true, true, true), (client.Export.Size, client.Export.ReadOnly, client.Export.CanCache, client.Export.CanFlush));
        Assert.Equal([new(0, Size, 2, false)], (await AllocationMap.ReadAsync(client, 0, Size, Token)).Extents);

        await client.CacheAsync(Cluster + 1024, 512, Token);
        AllocationMap map = await AllocationMap.ReadAsync(client, 0, Size, Token);
        Assert.Equal([new(0, Cluster, 2, false), new(Cluster, Cluster, 1, false), new(2 * Cluster, Size - (2 * Cluster), 2, false)], map.Extents);

        await client.FlushAsync(Token);
        using JsonDocument file = JsonDocument.Parse(await daemon.MapFileAsync(Token));
        JsonElement populated = Assert.Single(file.RootElement.EnumerateArray(), extent => extent.GetProperty("depth").GetInt32() == 0);
        Assert.Equal((Cluster, Cluster), (populated.GetProperty("start").GetInt64(), populated.GetProperty("length").GetInt64()));
    }

    [Theory]
    [InlineData("qcow2")]
    [InlineData("qed")]
    public async Task Populating_all_at_once_leaves_nothing_and_changes_nothing(string format)
    {
        byte[] backing = Random();
        Array.Clear(backing, 8 * Cluster, 8 * Cluster); // zeros that are data: the raw file was written through
        await using StorageDaemon daemon = await StorageDaemon.StartAsync(format, backing, Token);
        await using NbdClient client = await NbdClient.ConnectAsync(daemon.EndPoint, "disk", Options, Token);

        await Task.WhenAll(Enumerable.Range(0, Size / Cluster).Select(i => client.CacheAsync(i * Cluster, Cluster, Token)));
        await client.FlushAsync(Token);
        AllocationMap map = await AllocationMap.ReadAsync(client, 0, Size, Token);
        Assert.Equal((Size, 0, null), (map.PopulatedBytes, map.RemainingBytes(), map.NextRemaining(0)));

        var guest = new byte[Size];
        await client.ReadAsync(0, guest, Token);
        Assert.True(backing.AsSpan().SequenceEqual(guest));
    }

    [Fact]
    public async Task A_cache_of_more_than_32_mib_is_refused_and_the_connection_lives_on()
    {
        await using StorageDaemon daemon = await StorageDaemon.StartAsync("qcow2", new byte[40 << 20], Token);
        await using NbdClient client = await NbdClient.ConnectAsync(daemon.EndPoint, "disk", Options, Token);

        NbdCommandException refused = await Assert.ThrowsAsync<NbdCommandException>(() => client.CacheAsync(0, 33 << 20, Token));
        Assert.Equal(NbdError.EINVAL, refused.Error);
        await client.CacheAsync(0, 512, Token);
        Assert.True(client.IsConnected);
    }

    [Fact]
    public async Task An_unknown_export_is_refused_with_the_servers_words()
    {
        await using StorageDaemon daemon = await StorageDaemon.StartAsync("qcow2", Random(), Token);

        NbdRefusedException refused = await Assert.ThrowsAsync<NbdRefusedException>(() => NbdClient.ConnectAsync(daemon.EndPoint, "other", Options, Token));
        Assert.Contains("other", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_is_killed_fails_the_calls()
    {
        StorageDaemon daemon = await StorageDaemon.StartAsync("qcow2", Random(), Token);
        NbdClient client;
        await using (daemon)
        {
            client = await NbdClient.ConnectAsync(daemon.EndPoint, "disk", Options, Token);
            await client.FlushAsync(Token);
        }

        await using (client)
        {
            await Assert.ThrowsAsync<NbdException>(() => client.CacheAsync(0, 512, Token));
            Assert.False(client.IsConnected);
        }
    }

    private static byte[] Random()
    {
        var bytes = new byte[Size];
        new Random(42).NextBytes(bytes);
        return bytes;
    }
}
