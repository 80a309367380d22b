using System.CommandLine;

namespace StreamService.Ctl.Commands;

/// <summary>
/// Scripts that have a shell ask streamctl itself what may come next, by the library's directive <c>[suggest]</c>. None lets the shell
/// expand what comes back: names of domains are whatever somebody chose.
/// </summary>
internal static class CompletionCommand
{
    private const string Bash = """
        # streamctl in bash: source <(streamctl completion bash)
        _streamctl() {
          local word=${COMP_WORDS[COMP_CWORD]} suggestion
          COMPREPLY=()
          while IFS= read -r suggestion; do
            if [[ $suggestion == "$word"* ]]; then
              printf -v suggestion %q "$suggestion"
              COMPREPLY+=("$suggestion")
            fi
          done < <("${COMP_WORDS[0]}" "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)
        }
        complete -o default -F _streamctl streamctl
        """;

    private const string Zsh = """
        #compdef streamctl
        # streamctl in zsh: source <(streamctl completion zsh), or as _streamctl in a folder of $fpath
        _streamctl() {
          local -a suggestions
          suggestions=("${(@f)$(${words[1]} "[suggest:$CURSOR]" "$BUFFER" 2>/dev/null)}")
          compadd -- ${suggestions:#}
        }
        compdef _streamctl streamctl
        """;

    private const string Fish = """
        # streamctl in fish: streamctl completion fish > ~/.config/fish/completions/streamctl.fish
        function __streamctl_suggest
            set -l line (commandline -cp)
            streamctl "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete -c streamctl -f -a '(__streamctl_suggest)'
        """;

    public static Command Create()
    {
        var shell = new Argument<string>("shell") { Description = "bash, zsh or fish." }.AcceptOnlyFromAmong("bash", "zsh", "fish");
        var command = new Command("completion", "Prints a script that teaches a shell to complete commands, domains, disks, hosts and images.") { shell };
        command.SetAction(async (parsed, cancellationToken) =>
            await parsed.InvocationConfiguration.Output.WriteLineAsync(parsed.GetRequiredValue(shell) switch
            {
                "bash" => Bash,
                "zsh" => Zsh,
                _ => Fish,
            }));
        return command;
    }
}
