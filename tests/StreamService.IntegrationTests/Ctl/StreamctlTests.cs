using System.Text.Json;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Ctl;

/// <summary>streamctl against the real service and real domains: what it prints, and what it ends with.</summary>
[Trait("Category", "Slow")]
public sealed class StreamctlTests(SharedService shared)
{
    private const long MiB = 1 << 20;

    [Fact]
    public async Task A_stream_is_begun_paused_changed_watched_to_its_end_and_listed()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB);
        var service = await shared.StartedAsync();
        var found = (await Streamctl.SucceedAsync(service, "domains", "--host", "local", "-o", "json")).Json.EnumerateArray().Single(one => one.GetProperty("name").GetString() == domain.Name);
        Assert.True(found.GetProperty("disks")[0].GetProperty("streamable").GetBoolean());

        // The domain has one disk, which need not be named.
        var begun = (await Streamctl.SucceedAsync(service, "stream", domain.Name, "--bandwidth", "1MiB", "--policy", "fixed", "-o", "json")).Json;
        Assert.Equal((MiB, "fixed", "full"), (begun.GetProperty("bandwidth").GetInt64(), begun.GetProperty("policy").GetString(), begun.GetProperty("mode").GetString()));
        await service.WaitForStateAsync(domain, "running");
        Assert.Matches(@"(?m)^state +running *$", (await Streamctl.SucceedAsync(service, "status", domain.Name, "vda")).Output);

        await Streamctl.SucceedAsync(service, "pause", domain.Name, "vda");
        await service.WaitForStateAsync(domain, "paused");
        Assert.Equal(2 * MiB, (await Streamctl.SucceedAsync(service, "set", domain.Name, "vda", "--bandwidth", "2MiB/s", "-o", "json")).Json.GetProperty("bandwidth").GetInt64());
        using var people = Streamctl.Start(service, "status", domain.Name, "vda", "--watch");
        using var programs = Streamctl.Start(service, "status", domain.Name, "vda", "--watch", "-o", "json");
        await Streamctl.SucceedAsync(service, "resume", domain.Name, "vda");
        await service.WaitForStateAsync(domain, "running");
        await Streamctl.SucceedAsync(service, "set", domain.Name, "vda", "--bandwidth", "unlimited");

        var told = await people.WaitAsync();
        Assert.Equal((0, ""), (told.Code, told.Errors));
        Assert.StartsWith("completed  100 %", told.Lines[^1], StringComparison.Ordinal);
        var followed = await programs.WaitAsync();
        Assert.Equal((0, ""), (followed.Code, followed.Errors));
        var generations = followed.JsonLines.Select(status => status.GetProperty("generation").GetInt64()).ToList();
        Assert.Equal(generations.Distinct().Order(), generations);
        Assert.Equal("completed", followed.JsonLines[^1].GetProperty("state").GetString());

        var listed = (await Streamctl.SucceedAsync(service, "streams", "--state", "completed", "--domain", domain.Id.ToString(), "-o", "json")).Json;
        Assert.Equal(begun.GetProperty("streamId").GetString(), Assert.Single(listed.EnumerateArray()).GetProperty("streamId").GetString());
        Assert.Contains(domain.Name, (await Streamctl.SucceedAsync(service, "streams", "--domain", domain.Name)).Output, StringComparison.Ordinal);
        foreach (var (words, count) in new[] { (new[] { domain.Name.ToUpperInvariant(), "LOCAL" }, 1), ([domain.Name, "elsewhere"], 0) })
            Assert.Equal(count, (await Streamctl.SucceedAsync(service, ["streams", .. words, "--latest", "--sort", "rate", "--direction", "asc", "-o", "json"])).Json.GetArrayLength());
        var summary = (await Streamctl.SucceedAsync(service, "summary", domain.Name, "--host", "local", "-o", "json")).Json;
        Assert.Equal((1, 1, 0), (summary.GetProperty("streams").GetInt32(), summary.GetProperty("states").GetProperty("completed").GetInt32(), summary.GetProperty("attention").GetInt32()));
        Assert.Equal(["HOST", "local", "all"], (await Streamctl.SucceedAsync(service, "summary", domain.Name)).Lines.Select(line => line.Split(' ')[0]));
        var events = (await Streamctl.SucceedAsync(service, "events", begun.GetProperty("streamId").GetString()!, "-o", "json")).Json.EnumerateArray().Select(happened => happened.GetProperty("state").GetString()).ToList();
        Assert.Equal(["queued", "running", "paused"], events.Take(3));
        Assert.Equal("completed", events[^1]);
        var map = await Streamctl.SucceedAsync(service, "map", domain.Name, "vda", "--width", "16", "--rows", "2");
        Assert.Equal(["|████████████████|", "|████████████████|"], map.Lines.Take(2));
    }

    [Fact]
    public async Task Single_steps_are_made_one_by_one_or_followed_to_the_end()
    {
        await using var domain = await TestDomain.StartAsync(size: 4 * MiB, middle: false);
        var service = await shared.StartedAsync();
        var step = (await Streamctl.SucceedAsync(service, "stream", domain.Name, "vda", "--single", "--offset", "1MiB", "--length", "512", "-o", "json")).Json;
        Assert.Equal((MiB + 65536, 65536, false), (step.GetProperty("offset").GetInt64(), step.GetProperty("populated").GetInt64(), step.GetProperty("done").GetBoolean()));
        var half = (await Streamctl.SucceedAsync(service, "map", domain.Name, "vda", "--width", "8", "--rows", "1")).Lines[0];
        Assert.Equal("|··░·██··|", half);

        var steps = (await Streamctl.SucceedAsync(service, "stream", domain.Name, "vda", "--single", "--follow", "--length", "1MiB", "-o", "json")).JsonLines;
        Assert.Equal(3 * MiB - 65536, steps.Sum(one => one.GetProperty("populated").GetInt64()));
        Assert.True(steps[^1].GetProperty("done").GetBoolean());
    }

    [Fact]
    public async Task Each_kind_of_failure_has_its_code_and_its_words()
    {
        await using var domain = await TestDomain.StartAsync(size: 16 * MiB, middle: false);
        var service = await shared.StartedAsync();
        await AssertFailsAsync(2, "is not a size", "stream", domain.Name, "vda", "--bandwidth", "plenty");
        await AssertFailsAsync(2, "--offset goes with --single only.", "stream", domain.Name, "vda", "--offset", "512");
        await AssertFailsAsync(2, "Nothing is to be changed", "set", domain.Name, "vda");
        await AssertFailsAsync(2, "offset: must be a multiple of 512", "stream", domain.Name, "vda", "--single", "--offset", "1");
        await AssertFailsAsync(2, "begins with http://", "hosts", "--server", "nonsense");
        await AssertFailsAsync(3, "domain-not-found: ", "status", "nobody", "vda");
        await AssertFailsAsync(3, "disk-not-found: ", "status", domain.Name, "vdz");
        await AssertFailsAsync(5, "refused", "hosts", "--server", $"http://127.0.0.1:{ServiceProcess.FreePort()}");
        await AssertFailsAsync(5, "streamctl: ", "hosts", "--server", "unix:/nonexistent.sock");

        // One is at work, is watched, and is cancelled.
        using var watched = Streamctl.Start(service, "stream", domain.Name, "vda", "--bandwidth", "64KiB", "--watch");
        await service.WaitForStateAsync(domain, "running");
        await AssertFailsAsync(4, "stream-active: ", "stream", domain.Name, "vda");
        await Streamctl.SucceedAsync(service, "cancel", domain.Name, "vda");
        var cancelled = await watched.WaitAsync();
        Assert.Equal(7, cancelled.Code);
        Assert.StartsWith("cancelled", cancelled.Lines[^1], StringComparison.Ordinal);

        // The next one's domain goes away under it.
        using var lost = Streamctl.Start(service, "stream", domain.Name, "vda", "--bandwidth", "64KiB", "--on-error", "report", "--watch");
        await service.WaitForAsync(domain, "the next stream", status => status.GetProperty("state").GetString() == "running");
        await TestDomain.VirshAsync("destroy", domain.Name);
        await TestDomain.VirshAsync("undefine", domain.Name);
        var failed = await lost.WaitAsync();
        Assert.Equal(1, failed.Code);
        Assert.Contains("domain-not-found: ", failed.Lines[^1], StringComparison.Ordinal);

        async Task AssertFailsAsync(int code, string words, params string[] arguments)
        {
            var ended = await Streamctl.RunAsync(service, arguments);
            Assert.True(ended.Code == code && ended.Errors.Contains(words, StringComparison.Ordinal) && ended.Output == "",
                $"streamctl {string.Join(' ', arguments)} ended with {ended.Code}, not {code}: {ended.Errors}{ended.Output}");
        }
    }

    [Fact]
    public async Task The_key_comes_from_the_environment_or_a_file()
    {
        await using var service = await ServiceProcess.StartAsync(guarded: true);
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, ServiceProcess.ReaderKey + "\n");
        var denied = await Streamctl.RunAsync(service, "hosts");
        Assert.Equal(6, denied.Code);
        Assert.Contains("unauthorized: ", denied.Errors, StringComparison.Ordinal);
        Assert.Equal(0, (await Streamctl.RunAsync(service, "hosts", "--key-file", file)).Code);
        Assert.Equal(0, (await Streamctl.RunAsync(service, new Dictionary<string, string> { ["STREAMSERVICE_API_KEY_FILE"] = file }, "hosts")).Code);
        Assert.Equal(0, (await Streamctl.RunAsync(service, new Dictionary<string, string> { ["STREAMSERVICE_API_KEY"] = ServiceProcess.ReaderKey }, "hosts")).Code);
        var forbidden = await Streamctl.RunAsync(service, "budgets", "set", "b", "--bandwidth", "1MiB", "--key-file", file);
        Assert.Equal(6, forbidden.Code);
        Assert.Contains("forbidden: ", forbidden.Errors, StringComparison.Ordinal);
        File.Delete(file);
    }

    [Fact]
    public async Task Colours_are_for_terminals_whose_people_want_them()
    {
        var service = await shared.StartedAsync();
        const string escape = "\e[";
        Assert.DoesNotContain(escape, (await Streamctl.SucceedAsync(service, "hosts")).Output, StringComparison.Ordinal);
        Assert.Contains(escape + "32m", await OnTerminalAsync(""), StringComparison.Ordinal);
        Assert.DoesNotMatch("\e\\[[0-9;]*m", await OnTerminalAsync("NO_COLOR=1"));

        Task<string> OnTerminalAsync(string setting) =>
            Shell.RunAsync("env", "-u", "NO_COLOR", "TERM=xterm", "script", "--quiet", "--return", "--command", $"env {setting} STREAMSERVICE_URL={service.Server} {Streamctl.Program} hosts", "/dev/null");
    }

    [Fact]
    public async Task Budgets_are_set_shown_and_removed()
    {
        await using var service = await ServiceProcess.StartAsync();
        await Streamctl.SucceedAsync(service, "budgets", "set", "images", "--bandwidth", "200MiB/s", "--scope", "source", "--match", "images.example");
        var budget = Assert.Single((await Streamctl.SucceedAsync(service, "budgets", "-o", "json")).Json.EnumerateArray());
        Assert.Equal(("source", 200 * MiB), (budget.GetProperty("scope").GetString(), budget.GetProperty("bytesPerSecond").GetInt64()));
        Assert.Matches(@"images +source +images.example +200 MiB/s", (await Streamctl.SucceedAsync(service, "budgets")).Output);
        await Streamctl.SucceedAsync(service, "budgets", "remove", "images");
        Assert.Equal(JsonValueKind.Array, (await Streamctl.SucceedAsync(service, "budgets", "-o", "json")).Json.ValueKind);
        Assert.Equal("There are no budgets.", Assert.Single((await Streamctl.SucceedAsync(service, "budgets")).Lines));
    }
}
