using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>The clock on the wall jumps; the one that measures does not, as on a real machine.</summary>
[Trait("Category", "Slow")]
public sealed class ClockFaultTests(FaultTable table)
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Clock_that_jumps_an_hour_forward_and_two_back_harms_no_byte()
    {
        await using var domain = await TestDomain.StartAsync(middle: false, kind: DomainKind.Qemu);
        var clock = new JumpingClock();
        await using var service = new Service(clock, domain);
        using var client = service.CreateClient();
        var url = $"/domains/{domain.Key}/disks/vda";
        await Shell.WaitForAsync("the domain", async () =>
        {
            using var answer = await client.GetAsync(url, Token);
            return answer.IsSuccessStatusCode;
        });

        using var started = await client.PostAsJsonAsync(url + "/stream", new { mode = "full", bandwidth = FaultBench.Pace }, Token);
        Assert.True(started.IsSuccessStatusCode, await started.Content.ReadAsStringAsync(Token));
        await WaitAsync("the middle", status => status.GetProperty("bytesStreamed").GetInt64() > 4 << 20);
        var seen = new List<string>();
        foreach (var hours in new[] { 1, -1 })
        {
            clock.Ahead = TimeSpan.FromHours(hours);
            var streamed = (await StatusAsync()).GetProperty("bytesStreamed").GetInt64();
            var status = await WaitAsync("progress", status => status.GetProperty("bytesStreamed").GetInt64() > streamed + (1 << 20));
            Assert.Equal("running", status.GetProperty("state").GetString());
            Assert.InRange((status.GetProperty("updatedAt").GetDateTimeOffset() - TimeProvider.System.GetUtcNow()).TotalHours, hours - 0.1, hours + 0.1);
            // No faster and no slower for it.
            Assert.InRange(status.GetProperty("bytesPerSecond").GetInt64(), FaultBench.Pace / 3, FaultBench.Pace * 2);
            seen.Add($"running at {hours:+0;-0} h");
        }

        using var changed = await client.PatchAsJsonAsync(url + "/stream", new { bandwidth = 0, policy = "fixed" }, Token);
        Assert.True(changed.IsSuccessStatusCode, await changed.Content.ReadAsStringAsync(Token));
        await WaitAsync("the end", status => status.GetProperty("state").GetString() == "completed");
        await domain.StopAsync();
        Assert.Null(await domain.BackingFileAsync());
        await domain.AssertIntactAsync();
        table.Add("clock: an hour forward, two back", "in mid-stream", "running → completed", $"{string.Join(" → ", seen)} → completed; bytes equal");

        Task<JsonElement> StatusAsync() => client.GetFromJsonAsync<JsonElement>(url + "/status", Token);

        async Task<JsonElement> WaitAsync(string what, Func<JsonElement, bool> wished)
        {
            JsonElement status = default;
            await Shell.WaitForAsync(what, async () => wished(status = await StatusAsync()), TimeSpan.FromMinutes(1));
            return status;
        }
    }

    private sealed class JumpingClock : TimeProvider
    {
        public TimeSpan Ahead { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Ahead;
    }

    /// <summary>The whole service inside the test's process, with that clock.</summary>
    private sealed class Service(JumpingClock clock, TestDomain domain) : WebApplicationFactory<Program>
    {
        protected override void ConfigureWebHost(IWebHostBuilder builder)
        {
            builder.UseSetting("StreamService:Storage:ConnectionString", $"Data Source={Path.Combine(domain.Folder, "streams.db")};Pooling=False");
            builder.UseSetting("StreamService:RuntimeDirectory", Path.Combine(domain.Folder, "run"));
            builder.UseSetting("StreamService:Hosts:0:Name", "monitors");
            builder.UseSetting("StreamService:Hosts:0:Uri", $"qmp+unix://{domain.Folder}/qmp.sock");
            builder.ConfigureTestServices(services => services.AddSingleton<TimeProvider>(clock));
        }
    }
}
