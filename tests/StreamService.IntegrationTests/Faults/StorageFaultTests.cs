using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>The overlay's file system, and the service's database.</summary>
public sealed class StorageFaultTests(FaultTable table) : FaultTests(table)
{
    private const long MiB = 1 << 20;

    private static readonly FaultRow[] Rows =
    [
        new("overlay: no room for the whole disk, then room", "before the first byte", ["running", "waiting: No space for the whole disk", "running", "completed"], async bench =>
        {
            await bench.BeginAsync();
            var waiting = await bench.WaitForWaitingAsync("No space for the whole disk");
            Assert.Equal(0, waiting.GetProperty("bytesStreamed").GetInt64());
            Assert.Equal("insufficient-storage", waiting.GetProperty("lastError").GetProperty("code").GetString());
            await bench.Domain.ResizeRoomAsync(128 * MiB);
            await bench.WaitForAsync("running");
            await bench.FinishAsync();
        })
        {
            Room = 24 * MiB,
        },
        new("overlay: no room for the whole disk, onError report", "before the first byte", ["running", "failed: No space for the whole disk"], async bench =>
        {
            await bench.BeginAsync(new { mode = "full", onError = "report" });
            var failed = await bench.WaitForAsync("failed");
            Assert.Equal("insufficient-storage", failed.GetProperty("error").GetProperty("code").GetString());
            Assert.Equal(0, failed.GetProperty("bytesStreamed").GetInt64());
            await bench.CompareAsync(independent: false);
        })
        {
            Room = 24 * MiB,
        },
        new("overlay: somebody else fills the disk, then frees it", "in mid-stream", ["running", "waiting: No space", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            var filler = Path.Combine(bench.Domain.Room, "filler");
            await Shell.RunAsync("fallocate", "--length", (90 * MiB).ToString(System.Globalization.CultureInfo.InvariantCulture), filler);
            await bench.Service.HurryAsync(bench.Domain);
            var waiting = await bench.WaitForWaitingAsync("No space");
            Assert.Equal("insufficient-storage", waiting.GetProperty("lastError").GetProperty("code").GetString());
            await bench.Service.ChangeAsync(bench.Domain, new { bandwidth = FaultBench.Pace });
            File.Delete(filler);
            await bench.WaitForAsync("running");
            await bench.FinishAsync();
        })
        {
            Room = 128 * MiB,
        },
        new("database: locked for 8 s", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await using (var other = await OpenAsync(bench))
            {
                await ExecuteAsync(other, "BEGIN IMMEDIATE");
                await Task.Delay(TimeSpan.FromSeconds(8), TestContext.Current.CancellationToken);
                await ExecuteAsync(other, "ROLLBACK");
            }
            await bench.FinishAsync();
        }),
        new("database: read-only, then writable", "in mid-stream, the service started anew", ["running", "completed"], async bench =>
        {
            await using var other = await TestDomain.StartAsync(size: 16 * MiB);
            await bench.BeginAndReachMiddleAsync();
            await bench.Service.StopAsync();
            // Not the file's mode: root writes all the same.
            await Shell.RunAsync("mount", "--bind", bench.Service.Database, bench.Service.Database);
            try
            {
                await Shell.RunAsync("mount", "-o", "remount,ro,bind", bench.Service.Database);
                await bench.Service.StartAgainAsync();
                await bench.WaitForProgressAsync();
                // What has to be on record first is refused, and nothing was begun.
                using var refused = await bench.Service.StreamAsync(other, new { mode = "full" });
                Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
                Assert.Equal("storage-unavailable", (await refused.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetProperty("code").GetString());
                Assert.NotNull(refused.Headers.RetryAfter);
            }
            finally
            {
                await Shell.RunAsync("umount", "--lazy", bench.Service.Database);
            }
            await bench.FinishAsync();
        })
        {
            Require = Requires.Root,
        },
        new("database: a row that cannot be read", "between two runs of the service", ["running", "running", "completed"], async bench =>
        {
            await using var other = await TestDomain.StartAsync(size: 16 * MiB);
            await bench.Service.StartStreamAsync(other, new { mode = "full", bandwidth = MiB });
            await bench.BeginAndReachMiddleAsync();
            await bench.Service.KillAsync();
            await using (var database = await OpenAsync(bench))
                await ExecuteAsync(database, $"UPDATE Streams SET State = 'Rnning' WHERE DomainName = '{other.Name}'");
            await bench.Service.StartAgainAsync();
            Assert.Contains("Removed a stream's record that cannot be read", bench.Service.LogText, StringComparison.Ordinal);
            // Its disk is as it was, and can be streamed from there.
            Assert.Equal("idle", (await bench.Service.StatusAsync(other)).GetProperty("state").GetString());
            await bench.Service.StartStreamAsync(other);
            await bench.Service.WaitForStateAsync(other, "completed");
            await bench.FinishAsync();
        }),
        new("database: deleted", "in mid-stream", ["running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            var streamId = (await bench.Service.StatusAsync(bench.Domain)).GetProperty("streamId").GetString();
            var noticed = bench.Service.WhenLoggedAsync("were put on record again");
            DeleteDatabase(bench);
            await noticed;
            await bench.FinishAsync();
            Assert.Equal("completed", (await bench.Service.Http.GetFromJsonAsync<JsonElement>($"/streams/{streamId}")).GetProperty("state").GetString());
        }),
        new("database: deleted", "between two runs of the service", ["running", "running", "completed"], async bench =>
        {
            await bench.BeginAndReachMiddleAsync();
            await bench.Service.StopAsync();
            DeleteDatabase(bench);
            await bench.Service.StartAgainAsync();
            Assert.Equal("idle", (await bench.Service.StatusAsync(bench.Domain)).GetProperty("state").GetString());
            var remaining = (await bench.Service.Http.GetFromJsonAsync<JsonElement>(ServiceProcess.DiskUrl(bench.Domain) + "/map")).GetProperty("remaining").GetInt64();
            // The image itself holds the progress.
            Assert.InRange(remaining, 1, 44 * MiB);
            await bench.BeginAsync();
            await bench.FinishAsync();
        }),
    ];

    public static TheoryData<string> All => Names(Rows);

    [Theory]
    [MemberData(nameof(All))]
    public Task Storage_that_fails_harms_no_byte(string row) => PlayAsync(Rows, row);

    private static void DeleteDatabase(FaultBench bench)
    {
        foreach (var file in Directory.GetFiles(Path.GetDirectoryName(bench.Service.Database)!, "streams.db*"))
            File.Delete(file);
    }

    private static async Task<SqliteConnection> OpenAsync(FaultBench bench)
    {
        var connection = new SqliteConnection($"Data Source={bench.Service.Database};Pooling=False");
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        return connection;
    }

    private static async Task ExecuteAsync(SqliteConnection connection, string sql)
    {
        await using var command = connection.CreateCommand();
#pragma warning disable CA2100 // The row's own words.
        command.CommandText = sql;
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
    }
}
