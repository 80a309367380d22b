using System.CommandLine;
using System.CommandLine.Invocation;
using StreamService.Ctl.Commands;

namespace StreamService.Ctl;

/// <summary>The command line as a whole.</summary>
internal static class Streamctl
{
    private static async Task<int> Main(string[] args)
    {
        var root = new RootCommand("""
            Streams the disks of virtual machines: populates an overlay from its backing chain while the domain runs.

            Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable, 6 not allowed, 7 cancelled.
            """);
        foreach (var option in new Option[] { GlobalOptions.Server, GlobalOptions.Output, GlobalOptions.KeyFile })
            root.Add(option);
        foreach (var command in (Command[])
        [
            .. StreamCommands.All,
            MapCommand.Create(),
            .. DeployCommands.All,
            .. MigrationCommands.All,
            .. ListCommands.All,
            BudgetCommands.Create(),
            CompletionCommand.Create(),
        ])
            root.Add(command);

        var parsed = root.Parse(args);
        // What is wrong, not all that there is; but who asks for nothing is shown everything.
        if (parsed.Action is ParseErrorAction faulty)
            faulty.ShowHelp = args.Length == 0;
        var code = await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        // The library's own code for a command line that it could not read is 1.
        return parsed.Action is ParseErrorAction ? ExitCodes.Usage : code;
    }
}
