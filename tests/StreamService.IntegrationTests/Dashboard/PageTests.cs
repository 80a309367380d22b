using Microsoft.Playwright;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>
/// Every page, light and dark, on a phone and on a desk: usable by whoever cannot see it or has no mouse, quiet on the console, still in its
/// place. What they look like is left in TestResults/screenshots.
/// </summary>
[Collection(DashboardScenes.Name)]
[Trait("Category", "Browser")]
public sealed class PageTests(DashboardScene scene)
{
    /// <summary>Up to here the web's own measure, the cumulative layout shift, calls a page good.</summary>
    private const double NoLayoutShift = 0.1;

    private const string LayoutShift = """
        () => new Promise(resolve => {
          let sum = 0;
          new PerformanceObserver(list => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value; }).observe({ type: 'layout-shift', buffered: true });
          requestAnimationFrame(() => setTimeout(() => resolve(sum), 0));
        })
        """;

    [Theory]
    [InlineData("desktop-light", 1440, 900, ColorScheme.Light)]
    [InlineData("desktop-dark", 1440, 900, ColorScheme.Dark)]
    [InlineData("phone-light", 390, 844, ColorScheme.Light)]
    [InlineData("phone-dark", 390, 844, ColorScheme.Dark)]
    public async Task Every_page_is_accessible_quiet_and_still(string variant, int width, int height, ColorScheme colors)
    {
        await scene.MadeAsync();
        var complaints = new List<string>();
        var faults = new List<string>();
        var opened = new List<(string Name, IPage Page)>();
        foreach (var (name, address, ready) in Pages())
        {
            var page = await scene.Browser.OpenAsync(new Uri("about:blank"), width, height, colors);
            opened.Add((name, page));
            page.PageError += (_, error) => complaints.Add(error);
            page.Console += (_, message) =>
            {
                // The source of a stream that waits cannot be asked for its map: the page says so.
                if (message.Type is "error" or "warning" && !message.Location.Contains("/map?", StringComparison.Ordinal))
                    complaints.Add(message.Text);
            };
            await page.GotoAsync(new Uri(scene.Service.Address, address).ToString());
            await Assertions.Expect(page.GetByTestId("hub-state")).ToHaveAttributeAsync("data-state", "connected");
            await Assertions.Expect(page.Locator(ready).First).ToBeVisibleAsync();
            faults.AddRange((await Axe.FindAsync(page)).Select(fault => $"{name}: {fault}"));
            var shift = await page.EvaluateAsync<double>(LayoutShift);
            if (shift > NoLayoutShift)
                faults.Add($"{name}: it moved by {shift:0.000}");
            if (await page.EvaluateAsync<bool>("() => document.documentElement.scrollWidth > document.documentElement.clientWidth"))
                faults.Add($"{name}: it is wider than its window");
        }
        // The first have been open for a while now, and their charts have something to show.
        foreach (var (name, page) in opened)
        {
            await Browser.ScreenshotAsync(page, $"{name}-{variant}");
            await page.CloseAsync();
        }
        Assert.Empty(faults);
        Assert.Empty(complaints);
    }

    [Theory]
    [InlineData("desktop-light", 1440, 900, ColorScheme.Light)]
    [InlineData("phone-dark", 390, 844, ColorScheme.Dark)]
    public async Task Every_dialog_is_accessible_and_gives_the_focus_back(string variant, int width, int height, ColorScheme colors)
    {
        await scene.MadeAsync();
        await scene.AddAsync($"spare-{variant}");
        var page = await scene.Browser.OpenAsync(new Uri("about:blank"), width, height, colors);
        foreach (var (name, address, button) in new[]
        {
            ("stream-dialog", "/#/domains", $"[data-testid=domain-row]:has-text('spare-{variant}') [data-testid=btn-stream]"),
            ("deploy-dialog", "/#/deployments", "[data-testid=btn-deploy][data-image='central/debian-13.raw']"),
            ("budget-dialog", "/#/hosts", "[data-testid=btn-budget-new]"),
        })
        {
            await page.GotoAsync("about:blank");
            await page.GotoAsync(new Uri(scene.Service.Address, address).ToString());
            await page.Locator(button).FocusAsync();
            await page.Keyboard.PressAsync("Enter");
            await Assertions.Expect(page.GetByTestId(name)).ToBeVisibleAsync();
            await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath($"{name}-{variant}") });
            Assert.Empty(await Axe.FindAsync(page));
            await page.Keyboard.PressAsync("Escape");
            await Assertions.Expect(page.GetByTestId(name)).ToHaveCountAsync(0);
            await Assertions.Expect(page.Locator(button)).ToBeFocusedAsync();
        }
        await page.CloseAsync();
    }

    [Fact]
    public async Task Keyboard_alone_leads_to_a_stream_and_its_controls()
    {
        await scene.MadeAsync();
        var page = await scene.Browser.OpenAsync(new Uri(scene.Service.Address, "/#/streams?q=web-2"));
        await Assertions.Expect(page.GetByTestId("stream-row")).ToHaveCountAsync(1);
        await page.Keyboard.PressAsync("Tab");
        await Assertions.Expect(page.Locator(".skip")).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Enter");
        await TabToAsync(page, "stream-link");
        await page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(page.Locator("h1")).ToBeFocusedAsync();
        await Assertions.Expect(page.Locator("h1")).ToContainTextAsync("web-2");
        await TabToAsync(page, "btn-pause");
        await page.Keyboard.PressAsync("Space");
        await Assertions.Expect(page.GetByTestId("btn-resume")).ToBeFocusedAsync();
        await Assertions.Expect(page.GetByTestId("announcer")).ToContainTextAsync("paused");
        await page.Keyboard.PressAsync("Space");
        await Assertions.Expect(page.GetByTestId("btn-pause")).ToBeFocusedAsync();
        await page.CloseAsync();
    }

    private static async Task TabToAsync(IPage page, string testId)
    {
        const int most = 40;
        for (var i = 0; i < most; i++)
        {
            await page.Keyboard.PressAsync("Tab");
            if (await page.EvaluateAsync<string?>("() => document.activeElement?.dataset.testid ?? null") == testId)
                return;
        }
        Assert.Fail($"The keyboard does not lead to {testId}.");
    }

    /// <summary>Each page, its address, and what is there once it is.</summary>
    private IEnumerable<(string Name, string Address, string Ready)> Pages() =>
    [
        ("overview", "/", "[data-testid=attention-row]"),
        ("stream-running", $"/#/streams/{scene.Streams[scene.Deployed.Name]}", "[data-testid=guest-latency]:has-text('ms')"),
        ("streams", "/#/streams", "[data-testid=stream-row]"),
        ("stream-waiting", $"/#/streams/{scene.Streams["mail-1"]}", "[data-testid=event]"),
        ("stream-completed", $"/#/streams/{scene.Streams["cache-1"]}", "[data-testid=chain]"),
        ("domains", "/#/domains", "[data-testid=disk-row]"),
        ("deployments", "/#/deployments", "[data-testid=deployment-row]"),
        ("migrations", "/#/migrations", "[data-testid=no-migrations]"),
        ("hosts", "/#/hosts", "[data-testid=budget-row]"),
    ];
}
