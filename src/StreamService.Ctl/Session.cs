using System.CommandLine;
using StreamService.Client;

namespace StreamService.Ctl;

/// <summary>One run of a command: what was asked for, the service, and where answers go.</summary>
internal sealed class Session(ParseResult parsed, StreamServiceClient service, Output output, CancellationToken cancellationToken)
{
    public StreamServiceClient Service => service;

    public Output Output => output;

    public CancellationToken Token => cancellationToken;

    public T? Get<T>(Option<T> option) => parsed.GetValue(option);

    public T Get<T>(Argument<T> argument) => parsed.GetRequiredValue(argument);

    /// <summary>The disk that is meant: the one named, or else the domain's only one.</summary>
    /// <exception cref="UsageException">The domain has several, or none.</exception>
    public async Task<DiskClient> FindDiskAsync(DiskArguments arguments)
    {
        var domain = parsed.GetRequiredValue(arguments.Domain);
        if (parsed.GetValue(arguments.Disk) is { } disk)
            return service.Disk(domain, disk);
        var found = await service.GetDomainAsync(domain, cancellationToken);
        return found.Disks switch
        {
            [var only] => service.Disk(found.Id, only.Target),
            [] => throw new UsageException($"Domain '{found.Name}' has no disk."),
            var several => throw new UsageException($"Domain '{found.Name}' has several disks: say which of {string.Join(", ", several.Select(one => one.Target))}."),
        };
    }
}

/// <summary>The command line is at fault, which only the service's answer told.</summary>
internal sealed class UsageException(string message) : Exception(message);

internal static class SessionCommands
{
    /// <summary>Gives a command what it does; faults become messages and exit codes.</summary>
    /// <param name="run">Ends with an exit code.</param>
    public static T Runs<T>(this T command, Func<Session, Task<int>> run)
        where T : Command
    {
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var output = Output.Of(parsed);
            try
            {
                using var service = GlobalOptions.Connect(parsed);
                return await run(new Session(parsed, service, output, cancellationToken));
            }
            catch (Exception fault) when (Faults.TryTell(fault, output, cancellationToken.IsCancellationRequested) is { } code)
            {
                return code;
            }
        });
        return command;
    }

    /// <summary>Gives a command what it does; it succeeds unless something is thrown.</summary>
    public static T Runs<T>(this T command, Func<Session, Task> run)
        where T : Command =>
        command.Runs(async session =>
        {
            await run(session);
            return ExitCodes.Ok;
        });
}
