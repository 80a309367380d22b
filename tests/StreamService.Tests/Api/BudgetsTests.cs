using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace StreamService.Tests.Api;

/// <summary>Budgets over HTTP, on the whole service without hosts.</summary>
public sealed class BudgetsTests : IAsyncDisposable
{
    private readonly HostedService _service = new();
    private readonly HttpClient _client;

    public BudgetsTests() => _client = _service.CreateClient();

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task A_budget_is_defined_changed_read_and_removed()
    {
        using var created = await PutAsync("images", """{"scope":"source","match":"images.example","bytesPerSecond":1000,"windows":[{"from":"22:00","to":"06:00","timeZone":"Europe/Berlin","bytesPerSecond":0}]}""");
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        Assert.Equal("/budgets/images", created.Headers.Location!.OriginalString);

        using var changed = await PutAsync("images", """{"scope":"source","match":"images.example","bytesPerSecond":2000}""");
        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);

        var budget = await _client.GetFromJsonAsync<JsonElement>("/budgets/images");
        Assert.Equal("""{"name":"images","scope":"source","match":"images.example","bytesPerSecond":2000,"windows":[],"origin":"api","presentBytesPerSecond":2000,"streams":0}""", budget.GetRawText());
        Assert.Equal(1, (await _client.GetFromJsonAsync<JsonElement>("/budgets")).GetArrayLength());

        using var removed = await _client.DeleteAsync("/budgets/images");
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        using var gone = await _client.DeleteAsync("/budgets/images");
        Assert.Equal("budget-not-found", await CodeAsync(gone, HttpStatusCode.NotFound));
    }

    [Fact]
    public async Task Every_fault_of_a_budget_is_told()
    {
        using var answer = await PutAsync("a%20b", """{"scope":"host","bytesPerSecond":-1,"windows":[{"from":"25:00","to":"6","timeZone":"Mars/Olympus"}]}""");

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        var errors = (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errors");
        Assert.Equal(
            ["bytesPerSecond", "match", "name", "windows.0.bytesPerSecond", "windows.0.from", "windows.0.timeZone", "windows.0.to"],
            errors.EnumerateObject().Select(error => error.Name).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("""{"scope":"service","bytesPerSecond":1,"windows":{}}""", "windows")]
    [InlineData("""{"scope":"service","bytesPerSecond":1,"windows":[1]}""", "windows.0")]
    [InlineData("""{"scope":"service","bytesPerSecond":1,"windows":[{"form":"22:00"}]}""", "windows.0.form")]
    [InlineData("""{"scope":"planet","bytesPerSecond":1}""", "scope")]
    [InlineData("""{}""", "scope")]
    public async Task What_cannot_be_read_is_named_by_its_place(string body, string member)
    {
        using var answer = await PutAsync("a", body);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains((await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errors").EnumerateObject(),
            error => error.Name.Equals(member, StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task What_the_configuration_defines_the_api_leaves_alone()
    {
        await using var service = new HostedService { Settings = { ["StreamService:Budgets:0:Name"] = "fixed", ["StreamService:Budgets:0:BytesPerSecond"] = "5" } };
        using var client = service.CreateClient();

        using var answer = await client.DeleteAsync("/budgets/fixed");

        Assert.Equal("budget-configured", await CodeAsync(answer, HttpStatusCode.Conflict));
        Assert.Equal("configuration", (await client.GetFromJsonAsync<JsonElement>("/budgets/fixed")).GetProperty("origin").GetString());
    }

    [Fact]
    public async Task Budgets_of_the_api_outlive_the_service()
    {
        using (await PutAsync("kept", """{"scope":"label","match":"gold","bytesPerSecond":7,"windows":[{"from":"22:00","to":"06:00","timeZone":"UTC","bytesPerSecond":3}]}"""))
        {
        }
        await using var next = new HostedService { Settings = { ["StreamService:Storage:ConnectionString"] = _service.ConnectionString } };
        using var client = next.CreateClient();

        var window = (await client.GetFromJsonAsync<JsonElement>("/budgets/kept")).GetProperty("windows")[0];
        Assert.Equal("22:00", window.GetProperty("from").GetString());
    }

    private Task<HttpResponseMessage> PutAsync(string name, string body) =>
        _client.PutAsync(new Uri($"/budgets/{name}", UriKind.Relative), new StringContent(body, Encoding.UTF8, "application/json"));

    private static async Task<string?> CodeAsync(HttpResponseMessage answer, HttpStatusCode expected)
    {
        Assert.Equal(expected, answer.StatusCode);
        return (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("code").GetString();
    }
}
