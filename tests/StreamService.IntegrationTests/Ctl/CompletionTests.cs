using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Ctl;

/// <summary>What real shells offer at the tab key.</summary>
[Trait("Category", "Slow")]
public sealed class CompletionTests(SharedService shared)
{
    [Fact]
    public async Task Bash_completes_commands_domains_and_disks_from_the_service()
    {
        await using var domain = await TestDomain.StartAsync(size: 4 << 20);
        var service = await shared.StartedAsync();
        Assert.Equal(["stream", "streams"], await BashAsync("streamctl stre", service.Server));
        Assert.Equal(["--single"], await BashAsync("streamctl stream --sin", service.Server));
        Assert.Contains(domain.Name, await BashAsync("streamctl stream ", service.Server));
        Assert.Equal([domain.Name], await BashAsync($"streamctl status {domain.Name}", service.Server));
        Assert.Contains("vda", await BashAsync($"streamctl status {domain.Name} ", service.Server));
        Assert.Contains("local", await BashAsync("streamctl streams --host ", service.Server));
        Assert.Equal(["adaptive"], await BashAsync("streamctl stream x vda --policy a", service.Server));
        // No service, no names, no words about it.
        Assert.DoesNotContain(domain.Name, await BashAsync("streamctl stream ", $"http://127.0.0.1:{ServiceProcess.FreePort()}"));
    }

    [Fact]
    public async Task What_a_service_calls_its_domains_is_never_carried_out()
    {
        var folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        var pretender = Path.Combine(folder, "streamctl");
        await File.WriteAllTextAsync(pretender, $"""
            #!/bin/sh
            echo '$(touch {folder}/harm)'
            echo '`touch {folder}/harm`;touch {folder}/harm'
            """);
        File.SetUnixFileMode(pretender, (UnixFileMode)0b111_101_101);
        Assert.Equal(2, (await BashAsync($"{pretender} stream ", "http://localhost")).Count);
        Assert.False(File.Exists(Path.Combine(folder, "harm")));
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [InlineData("zsh", "zsh", "-n")]
    [InlineData("fish", "fish", "--no-execute")]
    public async Task Other_shells_can_read_their_scripts(string shell, string program, string check)
    {
        Requires.Program(program);
        var script = Path.GetTempFileName();
        await File.WriteAllTextAsync(script, await Shell.RunAsync(Streamctl.Program, "completion", shell));
        await Shell.RunAsync(program, check, script);
        File.Delete(script);
    }

    [Fact]
    public async Task Fish_completes_domains_from_the_service()
    {
        Requires.Program("fish");
        await using var domain = await TestDomain.StartAsync(size: 4 << 20);
        var service = await shared.StartedAsync();
        var offered = await Shell.RunAsync("env", $"PATH={Path.GetDirectoryName(Streamctl.Program)}:{Environment.GetEnvironmentVariable("PATH")}", $"STREAMSERVICE_URL={service.Server}", $"HOME={Path.GetTempPath()}",
            "fish", "--no-config", "--command", $"streamctl completion fish | source; complete --do-complete 'streamctl status {domain.Name[..5]}'");
        Assert.Contains(domain.Name, offered.Split('\n'));
    }

    /// <summary>Has bash complete a line as it would at its end.</summary>
    private static async Task<IReadOnlyList<string>> BashAsync(string line, string server)
    {
        const string complete = """
            source <("$1" completion bash)
            COMP_LINE=$2 COMP_POINT=${#2}
            read -ra COMP_WORDS <<<"$2"
            [[ $2 != *' ' ]] || COMP_WORDS+=('')
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _streamctl
            ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
            """;
        var output = await Shell.RunAsync("env", $"PATH={Path.GetDirectoryName(Streamctl.Program)}:{Environment.GetEnvironmentVariable("PATH")}", $"STREAMSERVICE_URL={server}",
            "bash", "-c", complete, "bash", Streamctl.Program, line);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
