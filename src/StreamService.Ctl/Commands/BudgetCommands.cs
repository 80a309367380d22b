using System.CommandLine;
using StreamService.Client;
using StreamService.Client.Json;

namespace StreamService.Ctl.Commands;

/// <summary>Limits that streams share.</summary>
internal static class BudgetCommands
{
    public static Command Create()
    {
        var command = new Command("budgets", "Lists the limits that streams share.").Runs(async session =>
            session.Output.WriteTable(
                await session.Service.GetBudgetsAsync(session.Token),
                "There are no budgets.",
                ["BUDGET", "SCOPE", "OF", "NOW", "OUTSIDE WINDOWS", "STREAMS", "FROM"],
                budget =>
                [
                    Output.Cell(budget.Name),
                    Words.Of(budget.Scope),
                    Output.Cell(budget.Match),
                    Output.Cell(ByteSize.FormatLimit(budget.PresentBytesPerSecond)),
                    Output.Cell(ByteSize.FormatLimit(budget.BytesPerSecond)),
                    Output.Cell(budget.Streams.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                    Words.Of(budget.Origin),
                ]));
        command.Add(Set());
        var removed = new Argument<string>("name") { Description = "The budget's." };
        command.Add(new Command("remove", "Ends a budget.") { removed }.Runs(session => session.Service.DeleteBudgetAsync(session.Get(removed), session.Token)));
        return command;
    }

    private static Command Set()
    {
        var name = new Argument<string>("name") { Description = "The budget's: letters, digits, '-', '_' or '.'." };
        var bandwidth = Arguments.Rate("--bandwidth", "Bytes a second, as 200MiB, or unlimited.");
        bandwidth.Required = true;
        var scope = Arguments.Choice<BudgetScope>("--scope", "Which streams share it. Default: service.");
        var match = new Option<string?>("--match") { Description = "The host, image source or label.", HelpName = "text" };
        return new Command("set", "Defines a budget or replaces it, without windows.") { name, bandwidth, scope, match }.Runs(async session =>
            session.Output.WriteLine(
                await session.Service.PutBudgetAsync(session.Get(name), new BudgetDefinition(session.Get(scope) ?? BudgetScope.Service, session.Get(bandwidth) ?? 0, session.Get(match)), session.Token),
                budget => $"{budget.Name}: {EnumNames.Of(budget.Scope)} {budget.Match} {ByteSize.FormatLimit(budget.BytesPerSecond)}"));
    }
}
