using Microsoft.EntityFrameworkCore;
using Microsoft.Playwright;
using StreamService.IntegrationTests.Harness;
using StreamService.Storage;
using StreamService.Storage.Sqlite;
using StreamService.Streaming;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>The list of streams with many records: rows as they are needed, searched, filtered and sorted by the service.</summary>
[Trait("Category", "Browser")]
public sealed class StreamListPageTests
{
    private const int Count = 3000;

    [Fact]
    public async Task Long_list_has_only_the_rows_in_sight_and_gets_to_its_end()
    {
        var database = Path.Combine(Directory.CreateTempSubdirectory("streamservice-test-").FullName, "streams.db");
        await SeedAsync(database, Count);
        await using var service = await ServiceProcess.StartAsync(new() { ["StreamService__Storage__ConnectionString"] = $"Data Source={database}" });
        await using var browser = await Browser.StartAsync();
        var page = await browser.OpenAsync(new Uri(service.Address, "/#/streams"));
        var rows = page.GetByTestId("stream-row");
        await Assertions.Expect(page.GetByTestId("stream-count")).ToContainTextAsync("3,000 streams");
        await Assertions.Expect(rows.First).ToContainTextAsync("vm-2999");
        Assert.InRange(await rows.CountAsync(), 10, 80);

        await page.EvaluateAsync("() => window.scrollTo(0, document.body.scrollHeight)");
        await Assertions.Expect(page.Locator($"[aria-rowindex='{Count + 1}'][data-testid=stream-row]")).ToContainTextAsync("vm-0");
        Assert.InRange(await rows.CountAsync(), 10, 80);

        await page.GetByTestId("stream-search").FillAsync("VM-12 vda");
        await Assertions.Expect(page.GetByTestId("stream-count")).ToContainTextAsync("111 streams");
        await page.GetByTestId("sort-name").ClickAsync();
        await Assertions.Expect(rows.First).ToContainTextAsync("vm-12");
        await Assertions.Expect(page.Locator("[data-column=stream][role=columnheader]")).ToHaveAttributeAsync("aria-sort", "ascending");
        await page.Locator("[data-testid=state-filter][data-value=failed]").ClickAsync();
        await Assertions.Expect(page.GetByTestId("stream-count")).ToContainTextAsync("39 streams");
        await Assertions.Expect(page.Locator("[data-testid=stream-row]:not([data-state=failed])")).ToHaveCountAsync(0);
        // The address tells all of it.
        await page.ReloadAsync();
        await Assertions.Expect(page.GetByTestId("stream-count")).ToContainTextAsync("39 streams");
        await Assertions.Expect(page.GetByTestId("stream-search")).ToHaveValueAsync("VM-12 vda");
        Directory.Delete(Path.GetDirectoryName(database)!, recursive: true);
    }

    /// <summary>Puts streams on record that are over: vm-0 to vm-N, the last begun last; every third failed.</summary>
    internal static async Task SeedAsync(string database, int count)
    {
        await using var context = new SqliteStreamDbContext(new DbContextOptionsBuilder<SqliteStreamDbContext>().UseSqlite($"Data Source={database}").Options);
        await context.Database.MigrateAsync();
        var begun = TimeProvider.System.GetUtcNow().AddDays(-30);
        for (var i = 0; i < count; i++)
        {
            var state = i % 3 == 0 ? StreamState.Failed : i % 3 == 1 ? StreamState.Completed : StreamState.Cancelled;
            var created = begun.AddMinutes(i * 4);
            var status = new StreamStatus(
                Guid.CreateVersion7(created), new DiskAddress($"rack-{i % 7}", Guid.NewGuid(), "vda"), $"vm-{i}", 20L << 30, StreamMode.Full,
                new StreamSpec(null, 0, StreamPolicy.Adaptive, StreamPriority.Normal, StreamOnError.Stop, null, StreamOrder.Sequential), StreamEngine.Pipelined, null, state,
                BytesStreamed: 8L << 30, BytesDurable: 8L << 30, state == StreamState.Completed ? 0 : 3L << 30, BytesPerSecond: 0, Reason: null,
                state == StreamState.Failed ? new StreamError("hypervisor-error", "QEMU could not populate a range: Input/output error.") : null,
                created, created.AddSeconds(1), created.AddMinutes(3), created.AddMinutes(3), Generation: 400);
            context.Streams.Add(StreamRecord.From(status, idempotencyKey: null, epoch: 0));
        }
        await context.SaveChangesAsync();
    }
}
