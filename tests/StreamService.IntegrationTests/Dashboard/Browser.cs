using Microsoft.Playwright;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>Debian's Chromium, driven by Playwright.</summary>
internal sealed class Browser : IAsyncDisposable
{
    private const string Chromium = "/usr/bin/chromium";

    /// <summary>Within so many milliseconds what is expected must come: machines are shared, and a guest may be booting on this one.</summary>
    private const float Patience = 30_000;

    /// <summary>Pixels below the last element of a page: on a phone the navigation is there.</summary>
    private const int Margin = 80;

    private readonly IPlaywright _playwright;
    private readonly IBrowser _browser;

    private Browser(IPlaywright playwright, IBrowser browser)
    {
        _playwright = playwright;
        _browser = browser;
    }

    /// <param name="executable">What starts it; null: itself.</param>
    public static async Task<Browser> StartAsync(string? executable = null)
    {
        Requires.Program("chromium");
        Assertions.SetDefaultExpectTimeout(Patience);
        var playwright = await Playwright.CreateAsync();
        var browser = await playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = executable ?? Chromium,
            // Tests run as root, in a network that reaches nothing.
            Args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
        return new Browser(playwright, browser);
    }

    public async Task<IPage> OpenAsync(Uri address, int width = 1280, int height = 900, ColorScheme colors = ColorScheme.Light)
    {
        var page = await _browser.NewPageAsync(new() { ViewportSize = new() { Width = width, Height = height }, ColorScheme = colors });
        page.SetDefaultTimeout(Patience);
        await page.GotoAsync(address.ToString());
        return page;
    }

    /// <summary>The page from top to bottom, in a window of that height: what sticks to an edge of the window is where it belongs.</summary>
    public static async Task ScreenshotAsync(IPage page, string name)
    {
        var window = page.ViewportSize!;
        var height = await page.EvaluateAsync<int>("() => Math.ceil(document.querySelector('main').lastElementChild.getBoundingClientRect().bottom + window.scrollY)");
        await page.SetViewportSizeAsync(window.Width, Math.Max(window.Height * 2 / 3, height + Margin));
        await page.ScreenshotAsync(new() { Path = ScreenshotPath(name) });
        await page.SetViewportSizeAsync(window.Width, window.Height);
    }

    /// <summary>Where screenshots are left for whoever wants to look.</summary>
    public static string ScreenshotPath(string name)
    {
        var folder = Path.Combine(Harness.Repository.Root, "TestResults", "screenshots");
        Directory.CreateDirectory(folder);
        return Path.Combine(folder, name + ".png");
    }

    public async ValueTask DisposeAsync()
    {
        await _browser.DisposeAsync();
        _playwright.Dispose();
    }
}
