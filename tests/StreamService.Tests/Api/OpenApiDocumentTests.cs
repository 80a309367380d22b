using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;

namespace StreamService.Tests.Api;

/// <summary>The checked-in OpenAPI document is what the service itself gives out.</summary>
public sealed class OpenApiDocumentTests
{
    /// <summary>Set this variable to write the document anew.</summary>
    private const string UpdateVariable = "UPDATE_OPENAPI";

    [Fact]
    public async Task Checked_in_document_is_not_stale()
    {
        await using var service = new HostedService();
        var actual = await service.CreateClient().GetStringAsync("/openapi/v1.json", TestContext.Current.CancellationToken);
        var path = Path.Combine(RepositoryRoot(), "openapi", "streamservice.v1.json");
        actual = actual.ReplaceLineEndings("\n").TrimEnd() + "\n";
        if (Environment.GetEnvironmentVariable(UpdateVariable) == "1")
            await File.WriteAllTextAsync(path, actual, TestContext.Current.CancellationToken);
        Assert.True(await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken) == actual,
            $"openapi/streamservice.v1.json is stale. Run this test with {UpdateVariable}=1 and commit what it writes.");
    }

    private static string RepositoryRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "StreamService.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("The tests do not run inside the source tree.");
        return folder;
    }
}

/// <summary>The whole service inside the test's process, without hosts, on a database of its own.</summary>
internal sealed class HostedService : WebApplicationFactory<Program>
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;

    /// <summary>What is to be configured besides.</summary>
    public Dictionary<string, string> Settings { get; } = [];

    /// <summary>The database, for another service to go on with.</summary>
    public string ConnectionString => $"Data Source={Path.Combine(_folder, "streams.db")}";

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        builder.UseSetting("StreamService:Storage:ConnectionString", ConnectionString);
        builder.UseSetting("StreamService:RuntimeDirectory", Path.Combine(_folder, "run"));
        foreach (var (key, value) in Settings)
            builder.UseSetting(key, value);
    }

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing && Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
    }
}
