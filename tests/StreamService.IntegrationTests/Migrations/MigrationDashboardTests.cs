using Microsoft.Playwright;
using StreamService.IntegrationTests.Dashboard;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Migrations;

/// <summary>A migration through the dashboard, in a real browser that is in the network of the first host as the service is.</summary>
[Collection(MigratingHosts.Name)]
[Trait("Category", "Browser")]
public sealed class MigrationDashboardTests(SharedTwoHosts shared)
{
    [Fact]
    public async Task A_domain_is_migrated_through_the_page()
    {
        await using var site = await MigrationSite.StartAsync(shared);
        await using var guest = await MigratingGuest.StartAsync(site.Hosts, backing: true);
        await using var browser = await Browser.StartAsync(await WrapAsync(site.Hosts));
        var page = await browser.OpenAsync(new Uri(ServiceProcess.AddressWithin, "/#/domains"));
        var errors = new List<string>();
        page.PageError += (_, error) => errors.Add(error);

        // A file is in the way: the page tells it where it was asked for.
        await File.WriteAllTextAsync(site.OnHost(2, guest.Disk()), "somebody else's");
        await page.Locator($"[data-testid=btn-migrate][data-domain='{guest.Id}']").ClickAsync();
        await Assertions.Expect(page.GetByTestId("destination-select")).ToHaveValueAsync("h2");
        await page.GetByTestId("verify-input").CheckAsync();
        await page.GetByTestId("migration-bandwidth-input").FillAsync("8");
        await page.GetByTestId("btn-migration-start").ClickAsync();
        await Assertions.Expect(page.GetByTestId("migration-form-problem")).ToContainTextAsync("exists on h2 already", new() { Timeout = 30_000 });
        await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath("migration-refused") });
        File.Delete(site.OnHost(2, guest.Disk()));
        await page.GetByTestId("btn-migration-start").ClickAsync();

        var row = page.GetByTestId("migration-row").Filter(new() { HasText = guest.Name });
        await Assertions.Expect(row.Locator("[data-step=stream]")).ToHaveAttributeAsync("data-state", "running", new() { Timeout = 30_000 });
        await Assertions.Expect(row.GetByTestId("migration-where")).ToContainTextAsync("h2, since");
        await Assertions.Expect(row.GetByTestId("btn-migration-cancel")).ToHaveCountAsync(0);
        await Assertions.Expect(row.GetByTestId("migration-disk")).ToContainTextAsync("left");
        Assert.Empty(await Axe.FindAsync(page));
        foreach (var (variant, width, height, colors) in new[]
        {
            ("desktop-light", 1440, 900, ColorScheme.Light), ("desktop-dark", 1440, 900, ColorScheme.Dark),
            ("phone-light", 390, 844, ColorScheme.Light), ("phone-dark", 390, 844, ColorScheme.Dark),
        })
        {
            await page.SetViewportSizeAsync(width, height);
            await page.EmulateMediaAsync(new() { ColorScheme = colors });
            await Browser.ScreenshotAsync(page, $"migration-streaming-{variant}");
        }
        await Assertions.Expect(row.GetByTestId("migration-state")).ToHaveTextAsync("Completed", new() { Timeout = 60_000 });
        await Assertions.Expect(row.Locator("[data-step][data-state=done]")).ToHaveCountAsync(8);

        page.Dialog += (_, dialog) => dialog.AcceptAsync();
        await row.GetByTestId("btn-migration-delete").ClickAsync();
        await Assertions.Expect(row.GetByTestId("btn-migration-delete")).ToHaveCountAsync(0);
        Assert.False(File.Exists(site.OnHost(1, guest.Disk())));
        await page.ScreenshotAsync(new() { Path = Browser.ScreenshotPath("migration-completed"), FullPage = true });
        Assert.Empty(errors);
    }

    /// <summary>A program that is the browser in the first host.</summary>
    private static async Task<string> WrapAsync(TwoHosts hosts)
    {
        var file = Path.Combine(hosts.Folder, "chromium");
        var (program, arguments) = hosts.Enter(1, "chromium");
        await File.WriteAllTextAsync(file, $"""
            #!/bin/sh
            exec {program} {string.Join(' ', arguments)} "$@"

            """);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return file;
    }
}
