using System.Text.Json;
using Microsoft.Playwright;

namespace StreamService.IntegrationTests.Dashboard;

/// <summary>axe-core, of the dashboard's development packages, run inside a page.</summary>
internal static class Axe
{
    private static readonly string Script = Path.Combine(Harness.Repository.Root, "src", "StreamService.Dashboard", "node_modules", "axe-core", "axe.min.js");

    /// <summary>Faults that keep people from using the page, each with where it is; the impact is axe-core's.</summary>
    public static async Task<IReadOnlyList<string>> FindAsync(IPage page)
    {
        // Not as a script element: the page's policy would refuse it.
        if (!await page.EvaluateAsync<bool>("() => 'axe' in window"))
            await page.EvaluateAsync(await File.ReadAllTextAsync(Script));
        var result = await page.EvaluateAsync<JsonElement>("() => axe.run(document, { resultTypes: ['violations'] })");
        Assert.NotEmpty(result.GetProperty("passes").EnumerateArray());
        return
        [
            .. from violation in result.GetProperty("violations").EnumerateArray()
               let impact = violation.GetProperty("impact").GetString()
               where impact is "serious" or "critical"
               from node in violation.GetProperty("nodes").EnumerateArray()
               select $"{impact}: {violation.GetProperty("help").GetString()}: {node.GetProperty("html").GetString()} {node.GetProperty("failureSummary").GetString()}",
        ];
    }
}
