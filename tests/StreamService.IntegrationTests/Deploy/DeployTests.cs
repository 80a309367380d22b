using StreamService.IntegrationTests.Harness;
using StreamService.Tests.Deploy;

namespace StreamService.IntegrationTests.Deploy;

/// <summary>What <c>deploy/</c> says, played on this machine as far as it can be.</summary>
public sealed class DeployTests(SharedPostgres postgres)
{
    [Fact]
    public async Task Environment_of_compose_starts_the_service_and_its_health_check_tells_whether_it_is_ready()
    {
        await using var redis = await RedisServer.StartAsync();
        var connection = new Npgsql.NpgsqlConnectionStringBuilder(await postgres.CreateDatabaseAsync());
        var folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        try
        {
            var pgpass = Path.Combine(folder, "pgpass");
            // As the file says how to make it.
            await File.WriteAllTextAsync(pgpass, $"*:*:streamservice:streamservice:{PostgresServer.Password}\n*:*:{connection.Database}:streamservice:{PostgresServer.Password}\n");
            var compose = ComposeFile.Replicas(ComposeFile.Read()).First().Value;
            var settings = ComposeFile.Environment(compose);
            // Its own addresses are this machine's.
            settings.Remove("ASPNETCORE_URLS");
            settings.Remove("StreamService__Fleet__Url");
            settings["StreamService__Redis"] = redis.ConnectionString;
            settings["StreamService__Storage__ConnectionString"] = settings["StreamService__Storage__ConnectionString"]
                .Replace("Host=postgres", $"Host=127.0.0.1;Port={connection.Port}", StringComparison.Ordinal)
                .Replace("Database=streamservice", $"Database={connection.Database}", StringComparison.Ordinal)
                .Replace("/run/secrets/pgpass", pgpass, StringComparison.Ordinal);
            await using var service = await ServiceProcess.StartAsync(settings);

            var check = compose["healthcheck"]!["test"]!.AsArray().Select(word => word!.ToString().Replace("/5080", $"/{service.Address.Port}", StringComparison.Ordinal)).ToList();
            Assert.Equal("CMD", check[0]);
            await Shell.RunAsync(check[1], [.. check[2..]]);
            foreach (var path in new[] { "/healthz", "/readyz" })
                using (var answer = await service.Http.GetAsync(path))
                    Assert.True(answer.IsSuccessStatusCode, path);
            await service.KillAsync();
            await Assert.ThrowsAsync<InvalidOperationException>(() => Shell.RunAsync(check[1], [.. check[2..]]));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Systemd_finds_nothing_wrong_with_the_unit()
    {
        Requires.Program("systemd-analyze");
        var unit = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "deploy", "streamservice.service"));
        // The program is where it is on this machine.
        unit = unit.Replace("/usr/bin/dotnet", Environment.ProcessPath, StringComparison.Ordinal);
        Assert.Equal("", await VerifyAsync(unit));
        Assert.Contains("ProtectSistem", await VerifyAsync(unit.Replace("ProtectSystem", "ProtectSistem", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    private static async Task<string> VerifyAsync(string unit)
    {
        var folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        try
        {
            var file = Path.Combine(folder, "streamservice.service");
            await File.WriteAllTextAsync(file, unit);
            // It writes what it finds to its standard error, and ends with 0 all the same for much of it.
            return await Shell.RunAsync("sh", "-c", $"systemd-analyze verify --man=no {file} 2>&1 || true");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
