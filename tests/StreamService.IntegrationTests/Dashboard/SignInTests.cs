using Microsoft.Playwright;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>The dashboard of a service that asks for a key, and what its pages' policies leave of them.</summary>
[Trait("Category", "Browser")]
public sealed class SignInTests
{
    [Fact]
    public async Task Page_asks_for_a_key_shows_what_its_scopes_allow_and_forgets_it()
    {
        await using var domain = await TestDomain.StartAsync();
        await using var service = await ServiceProcess.StartAsync(guarded: true);
        await using var browser = await Browser.StartAsync();
        var page = await browser.OpenAsync(new Uri(service.Address, "/#/domains"));
        var urls = new List<string>();
        page.Request += (_, request) => urls.Add(request.Url);
        page.WebSocket += (_, socket) => urls.Add(socket.Url);

        await Assertions.Expect(page.GetByTestId("sign-in")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator("nav")).ToHaveCountAsync(0);
        Assert.Empty(await Axe.FindAsync(page));
        await page.GetByTestId("credential-input").FillAsync("ssk_wrong");
        await page.GetByTestId("btn-sign-in").ClickAsync();
        await Assertions.Expect(page.GetByTestId("sign-in-problem")).ToContainTextAsync("not known");
        await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath("sign-in") });

        await page.GetByTestId("credential-input").FillAsync(ServiceProcess.ReaderKey);
        await page.GetByTestId("btn-sign-in").ClickAsync();
        await Assertions.Expect(page.GetByTestId("hub-state")).ToHaveAttributeAsync("data-state", "connected");
        await Assertions.Expect(page.GetByTestId("who")).ToContainTextAsync("reader");
        var disk = page.Locator($"[data-testid=disk-row][data-domain='{domain.Id}']");
        await Assertions.Expect(disk).ToContainTextAsync("Streamable");
        await Assertions.Expect(page.GetByTestId("btn-stream")).ToHaveCountAsync(0);

        await page.GetByTestId("btn-sign-out").ClickAsync();
        await Assertions.Expect(page.GetByTestId("sign-in")).ToBeVisibleAsync();
        await page.GetByTestId("credential-input").FillAsync(ServiceProcess.AdminKey);
        await page.GetByTestId("btn-sign-in").ClickAsync();
        await Assertions.Expect(disk.GetByTestId("btn-stream")).ToBeVisibleAsync();
        await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath("signed-in") });

        await disk.GetByTestId("btn-stream").ClickAsync();
        await page.GetByTestId("btn-stream-start").ClickAsync();
        await Assertions.Expect(page.GetByTestId("stream-page").GetByTestId("stream-state")).ToHaveTextAsync("Completed");
        Assert.Contains(urls, url => url.Contains("/hubs/streams", StringComparison.Ordinal));
        Assert.DoesNotContain(urls, url => url.Contains("ssk_", StringComparison.Ordinal));
        Assert.DoesNotContain("ssk_", service.LogText, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/swagger/index.html")]
    public async Task Page_works_under_its_own_content_security_policy(string path)
    {
        await using var service = await ServiceProcess.StartAsync();
        await using var browser = await Browser.StartAsync();
        var page = await browser.OpenAsync(new Uri("about:blank"));
        var complaints = new List<string>();
        page.Console += (_, message) =>
        {
            if (message.Type == "error")
                complaints.Add(message.Text);
        };
        await page.GotoAsync(new Uri(service.Address, path).ToString());
        await Assertions.Expect(path == "/" ? page.GetByTestId("hub-state") : page.Locator("#operations-tag-Stream")).ToBeVisibleAsync();
        await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath(path == "/" ? "policy-dashboard" : "policy-swagger") });
        Assert.Empty(complaints);
    }
}
