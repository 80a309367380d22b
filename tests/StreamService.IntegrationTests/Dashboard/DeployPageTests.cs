using System.Text.RegularExpressions;
using Microsoft.Playwright;
using StreamService.IntegrationTests.Deployment;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>A domain is deployed, watched until it is independent, and removed, through the page.</summary>
[Trait("Category", "Browser")]
public sealed class DeployPageTests
{
    [Fact]
    public async Task Domain_is_deployed_and_watched_until_it_is_independent()
    {
        await using var site = await DeploymentSite.StartAsync();
        var name = site.NewName();
        await using var browser = await Browser.StartAsync();
        var page = await browser.OpenAsync(new Uri(site.Service.Address, "/#/deployments"));
        await page.Locator("[data-testid=btn-deploy][data-image='central/base.raw']").ClickAsync();

        // Faults of the page's own, then one of the service's, each beside its field.
        await page.GetByTestId("deploy-memory").FillAsync("a lot");
        await page.GetByTestId("btn-deploy-start").ClickAsync();
        await Assertions.Expect(page.Locator("#deploy-memory-fault")).ToContainTextAsync("whole number");
        await page.GetByTestId("deploy-memory").FillAsync("32");
        await page.GetByTestId("deploy-name").FillAsync("no/name");
        await page.GetByTestId("btn-deploy-start").ClickAsync();
        await Assertions.Expect(page.Locator("#deploy-name-fault")).ToContainTextAsync("letters");
        await Assertions.Expect(page.GetByTestId("deploy-name")).ToHaveAttributeAsync("aria-invalid", "true");
        await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath("deploy-faults") });
        Assert.Empty(await Axe.FindAsync(page));

        await page.GetByTestId("deploy-name").FillAsync(name);
        await page.GetByTestId("deploy-bandwidth").FillAsync("4");
        await page.GetByTestId("btn-deploy-start").ClickAsync();
        await Assertions.Expect(page.GetByTestId("deploy-dialog")).ToHaveCountAsync(0);
        var row = page.Locator($"[data-testid=deployment-row][data-name='{name}']");
        await Assertions.Expect(row).ToContainTextAsync("Running");
        await Assertions.Expect(row).ToHaveAttributeAsync("data-independent", "true");
        await Assertions.Expect(row).ToContainTextAsync(new Regex("Independent\\s+after \\d+ s"));

        page.Dialog += (_, dialog) => dialog.AcceptAsync();
        await row.GetByTestId("btn-remove").ClickAsync();
        await Assertions.Expect(row).ToHaveCountAsync(0);
        await site.AssertNothingLeftAsync(name);
    }
}
