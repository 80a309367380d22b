using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Storage;

/// <summary>The real service with its records on PostgreSQL.</summary>
[Trait("Category", "Slow")]
public sealed class PostgreSqlServiceTests(SharedPostgres postgres)
{
    private const long Pace = 4L << 20;

    [Fact]
    public async Task Stream_is_taken_up_by_the_next_service_and_ends_on_record()
    {
        Requires.Libvirt();
        var database = await postgres.CreateDatabaseAsync();
        await using var domain = await TestDomain.StartAsync();
        await using var service = await ServiceProcess.StartAsync(PostgresServer.Settings(database));
        var begun = await service.StartStreamAsync(domain, new { mode = "full", bandwidth = Pace });
        await ReachAsync(service, domain, 4 << 20);

        await service.KillAsync();
        await service.StartAgainAsync();

        await service.HurryAsync(domain);
        var done = await service.WaitForStateAsync(domain, "completed");
        Assert.Equal(begun.GetProperty("streamId").GetString(), done.GetProperty("streamId").GetString());
        await service.StopAsync();
        Assert.Equal("Completed", await PostgresServer.QueryAsync(database, $"SELECT \"State\" FROM \"Streams\" WHERE \"StreamId\" = '{begun.GetProperty("streamId").GetString()}'"));
        Assert.False(File.Exists(service.Database));
        Assert.DoesNotContain(PostgresServer.Password, service.LogText, StringComparison.Ordinal);
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Stream_goes_on_while_the_server_is_away_new_ones_are_refused_and_all_recovers_by_itself()
    {
        Requires.Libvirt();
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync();
        await using var domain = await TestDomain.StartAsync();
        await using var other = await TestDomain.StartAsync(size: 16 << 20);
        await using var service = await ServiceProcess.StartAsync(PostgresServer.Settings(database));
        var streamId = (await service.StartStreamAsync(domain, new { mode = "full", bandwidth = Pace })).GetProperty("streamId").GetString();
        await ReachAsync(service, domain, 2 << 20);

        // What comes back has forgotten the stream, as a standby may have.
        await PostgresServer.ExecuteAsync(database, "DELETE FROM \"Streams\"");
        await server.KillAsync();
        var before = (await service.StatusAsync(domain)).GetProperty("bytesStreamed").GetInt64();
        await ReachAsync(service, domain, before + (4 << 20));
        using (var refused = await service.StreamAsync(other, new { mode = "full" }))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.NotNull(refused.Headers.RetryAfter);
            var problem = await refused.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal("storage-unavailable", problem.GetProperty("code").GetString());
            Assert.DoesNotContain(PostgresServer.Password, problem.ToString(), StringComparison.Ordinal);
        }
        using (var unready = await service.Http.GetAsync("/readyz"))
            Assert.Equal(HttpStatusCode.ServiceUnavailable, unready.StatusCode);
        using (var alive = await service.Http.GetAsync("/healthz"))
            Assert.Equal(HttpStatusCode.OK, alive.StatusCode);

        var recorded = service.WhenLoggedAsync("were put on record again");
        await server.StartAgainAsync();
        await recorded;
        Assert.Equal(1L, await PostgresServer.QueryAsync(database, "SELECT count(*) FROM \"Streams\""));
        using (var ready = await service.Http.GetAsync("/readyz"))
            Assert.Equal(HttpStatusCode.OK, ready.StatusCode);
        await service.StartStreamAsync(other);
        await service.WaitForStateAsync(other, "completed");
        await service.HurryAsync(domain);
        await service.WaitForStateAsync(domain, "completed");
        Assert.Equal("completed", (await service.Http.GetFromJsonAsync<JsonElement>($"/streams/{streamId}")).GetProperty("state").GetString());
        Assert.DoesNotContain(PostgresServer.Password, service.LogText, StringComparison.Ordinal);
        await domain.StopAsync();
        await domain.AssertIntactAsync();
    }

    [Fact]
    public async Task Server_restarted_between_two_requests_is_not_noticed_by_the_second()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var service = await ServiceProcess.StartAsync(PostgresServer.Settings(await server.CreateDatabaseAsync()));
        // Several connections in the pool, each of which is dead afterwards.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => service.Http.GetFromJsonAsync<JsonElement>("/streams")));
        await server.StopAsync();
        await server.StartAgainAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => service.Http.GetAsync("/streams")));
        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.OK, answer.StatusCode));
    }

    [Fact]
    public async Task Who_signed_in_at_one_service_is_known_to_the_other()
    {
        var database = await postgres.CreateDatabaseAsync();
        var services = await Task.WhenAll(ServiceProcess.StartAsync(PostgresServer.Settings(database), guarded: true), ServiceProcess.StartAsync(PostgresServer.Settings(database), guarded: true));
        try
        {
            using var signedIn = await services[0].Http.PostAsJsonAsync("/session", new { credential = ServiceProcess.AdminKey });
            var cookie = Assert.Single(signedIn.Headers.GetValues("Set-Cookie")).Split(';')[0];
            using var browser = new HttpClient { BaseAddress = services[1].Address };
            Assert.Equal(JsonValueKind.Null, (await browser.GetFromJsonAsync<JsonElement>("/session")).GetProperty("caller").ValueKind);
            browser.DefaultRequestHeaders.Add("Cookie", cookie);
            Assert.Equal("admin", (await browser.GetFromJsonAsync<JsonElement>("/session")).GetProperty("caller").GetString());
        }
        finally
        {
            foreach (var service in services)
                await service.DisposeAsync();
        }
    }

    [Fact]
    public async Task Service_waits_for_a_server_that_starts_later()
    {
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync();
        await server.StopAsync();
        Task<ServiceProcess> starting;
        using (var door = new TcpListener(IPAddress.Loopback, server.Port))
        {
            door.Start();
            starting = ServiceProcess.StartAsync(PostgresServer.Settings(database));
            // More often than within one attempt.
            for (var knocks = 0; knocks < 30; knocks++)
                (await door.AcceptSocketAsync(TestContext.Current.CancellationToken)).Dispose();
        }
        await server.StartAgainAsync();
        await using var service = await starting;
        Assert.Contains("The database does not answer", service.LogText, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Wrong_password_ends_the_start_and_is_told_to_nobody()
    {
        var database = await postgres.CreateDatabaseAsync();
        var (exitCode, log) = await ServiceProcess.RunToEndAsync(PostgresServer.Settings(database.Replace(PostgresServer.Password, "wrong-secret", StringComparison.Ordinal)), "http://127.0.0.1:0");
        Assert.Equal(78, exitCode);
        Assert.Contains("The database cannot be used: 28P01", log, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong-secret", log, StringComparison.Ordinal);
    }

    private static Task<JsonElement> ReachAsync(ServiceProcess service, TestDomain domain, long bytes) =>
        service.WaitForAsync(domain, $"{bytes} bytes", status => status.GetProperty("bytesStreamed").GetInt64() >= bytes, TimeSpan.FromMinutes(1));
}
