using System.Text.RegularExpressions;
using Microsoft.Playwright;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>The dashboard in a real browser, on the real service and a real domain.</summary>
[Trait("Category", "Browser")]
public sealed class DashboardTests(SharedService shared)
{
    [Fact]
    public async Task Stream_is_started_watched_paused_resumed_and_cancelled_through_the_page()
    {
        await using var domain = await TestDomain.StartAsync();
        var service = await shared.StartedAsync();
        await using var browser = await Browser.StartAsync();
        var page = await browser.OpenAsync(new Uri(service.Address, "/#/domains"));
        var errors = new List<string>();
        page.PageError += (_, error) => errors.Add(error);
        await Assertions.Expect(page.GetByTestId("hub-state")).ToHaveAttributeAsync("data-state", "connected");

        await page.Locator($"[data-testid=btn-stream][data-domain='{domain.Id}']").ClickAsync();
        // So slow that it is still under way when all of this was seen, however busy the machine is.
        await page.GetByTestId("stream-bandwidth-input").FillAsync("1");
        await page.GetByTestId("btn-stream-start").ClickAsync();

        // The page goes on to the stream's own.
        var row = page.GetByTestId("stream-page");
        await Assertions.Expect(row).ToContainTextAsync(domain.Name);
        await Assertions.Expect(row.GetByTestId("stream-state")).ToHaveTextAsync("Running");
        var progress = row.GetByTestId("stream-progress");
        await Assertions.Expect(progress).ToHaveAttributeAsync("aria-valuenow", new Regex("^[1-9][0-9](\\.\\d+)?$"));
        await Assertions.Expect(row.GetByTestId("map-durable")).Not.ToHaveTextAsync("0 B");
        await Assertions.Expect(row.GetByTestId("chain").Locator("li")).ToHaveCountAsync(3);
        await Assertions.Expect(row.GetByTestId("event")).ToContainTextAsync(["Running", "Queued"]);

        await row.GetByTestId("btn-pause").ClickAsync();
        await Assertions.Expect(row.GetByTestId("stream-state")).ToHaveTextAsync("Paused");
        Assert.Equal("paused", (await service.StatusAsync(domain)).GetProperty("state").GetString());

        await row.GetByTestId("btn-resume").ClickAsync();
        await Assertions.Expect(row.GetByTestId("stream-state")).ToHaveTextAsync("Running");
        await row.GetByTestId("bandwidth-input").FillAsync("0.5");
        await row.GetByTestId("btn-bandwidth").ClickAsync();
        await service.WaitForAsync(domain, "the bandwidth to change", status => status.GetProperty("bandwidth").GetInt64() == 512 << 10);
        await row.GetByTestId("priority-select").SelectOptionAsync("high");
        await service.WaitForAsync(domain, "the priority to change", status => status.GetProperty("priority").GetString() == "high");

        await row.GetByTestId("btn-cancel").ClickAsync();
        await Assertions.Expect(row.GetByTestId("stream-state")).ToHaveTextAsync("Cancelled");
        Assert.Equal("cancelled", (await service.StatusAsync(domain)).GetProperty("state").GetString());
        await Assertions.Expect(row.GetByTestId("event").First).ToContainTextAsync("Cancelled");
        Assert.Empty(errors);
    }

    [Fact]
    public async Task Page_of_one_replica_shows_and_steers_what_another_drives()
    {
        await using var fleet = await ReplicaFleet.StartAsync(replicas: 2, hosts: 2);
        await using var domain = await fleet.StartDomainAsync("h1", 32 << 20);
        var driver = await fleet.DriverOfAsync("h1");
        var other = fleet.Replicas[1 - driver];
        var started = await fleet.Replicas[driver].StartStreamAsync(ServiceProcess.DiskUrl(domain), new { mode = "full", bandwidth = 2 << 20 });
        await using var browser = await Browser.StartAsync();
        var page = await browser.OpenAsync(new Uri(other.Address, $"/#/streams/{started.GetProperty("streamId").GetString()}"));
        await Assertions.Expect(page.GetByTestId("hub-state")).ToHaveAttributeAsync("data-state", "connected");
        await Assertions.Expect(page.GetByTestId("stream-state")).ToHaveTextAsync("Running");
        await page.GetByTestId("btn-pause").ClickAsync();
        await Assertions.Expect(page.GetByTestId("stream-state")).ToHaveTextAsync("Paused");
        await page.GetByTestId("btn-resume").ClickAsync();
        await Assertions.Expect(page.GetByTestId("stream-state")).ToHaveTextAsync("Running");
        await fleet.Replicas[driver].HurryAsync(ServiceProcess.DiskUrl(domain));
        await Assertions.Expect(page.GetByTestId("stream-state")).ToHaveTextAsync("Completed");
        await Browser.ScreenshotAsync(page, "stream-of-another-replica");
    }

    [Fact]
    public async Task Layers_drop_off_when_the_disk_is_independent()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 << 20);
        var service = await shared.StartedAsync();
        var started = await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 1 << 20, policy = "fixed" });
        await using var browser = await Browser.StartAsync();
        var page = await browser.OpenAsync(new Uri(service.Address, $"/#/streams/{started.GetProperty("streamId").GetString()}"));
        await Assertions.Expect(page.GetByTestId("chain").Locator("li[data-dropped=false]")).ToHaveCountAsync(3);

        await service.HurryAsync(domain);

        await Assertions.Expect(page.GetByTestId("stream-state")).ToHaveTextAsync("Completed");
        await Assertions.Expect(page.GetByTestId("chain").Locator("li[data-dropped=true]")).ToHaveCountAsync(2);
        await Assertions.Expect(page.GetByTestId("chain-note")).ToContainTextAsync("independent");
        await Assertions.Expect(page.GetByTestId("map-backing")).ToHaveTextAsync("0 B");
        await Browser.ScreenshotAsync(page, "stream-independent");
    }

    [Fact]
    public async Task Page_reconnects_by_itself_when_the_service_was_away_and_says_so()
    {
        await using var domain = await TestDomain.StartAsync();
        await using var service = await ServiceProcess.StartAsync();
        await using var browser = await Browser.StartAsync();
        var started = await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 2 << 20 });
        var page = await browser.OpenAsync(new Uri(service.Address, $"/#/streams/{started.GetProperty("streamId").GetString()}"), width: 390, height: 844, ColorScheme.Dark);
        var hub = page.GetByTestId("hub-state");
        await Assertions.Expect(hub).ToHaveAttributeAsync("data-state", "connected");
        await Assertions.Expect(page.GetByTestId("stream-state")).ToHaveTextAsync("Running");

        await service.KillAsync();
        await Assertions.Expect(hub).Not.ToHaveAttributeAsync("data-state", "connected");
        await Assertions.Expect(page.GetByTestId("offline")).ToBeVisibleAsync();
        await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath("reconnecting-phone-dark") });
        await service.StartAgainAsync();

        await Assertions.Expect(hub).ToHaveAttributeAsync("data-state", "connected", new() { Timeout = 60_000 });
        await Assertions.Expect(page.GetByTestId("offline")).ToHaveCountAsync(0);
        await service.ChangeAsync(domain, new { bandwidth = 0 });
        await Assertions.Expect(page.GetByTestId("stream-state")).ToHaveTextAsync("Completed");
    }
}
