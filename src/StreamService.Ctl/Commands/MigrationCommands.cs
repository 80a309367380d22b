using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using StreamService.Client;
using StreamService.Client.Json;

namespace StreamService.Ctl.Commands;

/// <summary>Post-copy block migrations.</summary>
internal static class MigrationCommands
{
    public static IEnumerable<Command> All => [Migrate(), Migrations()];

    private static Command Migrate()
    {
        var domain = Arguments.Domain();
        var destination = new Argument<string>("destination") { Description = "The configured name of the host to go to." };
        destination.CompletionSources.Add(Completions.Hosts);
        var verify = new Option<bool>("--verify") { Description = "Compares the contents before the source lets go." };
        var format = Arguments.Choice<OverlayFormat>("--format", "Of the disks' files there. Default: qcow2.");
        var folder = new Option<string?>("--folder") { Description = "Of the disks' files there. Default: as here.", HelpName = "path" };
        var detach = new Option<bool>("--detach") { Description = "Does not follow it to its end." };
        var key = new Option<string?>("--idempotency-key") { Description = "The same key and request answer as the first time did.", HelpName = "key" };
        var how = new StreamArguments();
        var command = how.AddTo(new Command("migrate", "Migrates a running domain with its disks, and shows the steps.") { domain, destination, verify, format, folder, detach, key }, withBase: false);
        return command.Runs(async session =>
        {
            var migration = await session.Service.MigrateAsync(session.Get(domain), new MigrationOptions(session.Get(destination))
            {
                Verify = session.Get(verify) ? true : null,
                Format = session.Get(format),
                Folder = session.Get(folder),
                Stream = how.Read(session),
            }, session.Get(key), session.Token);
            return session.Get(detach) ? Show(session, migration) : await WatchAsync(session, migration);
        });
    }

    private static Command Migrations()
    {
        var states = Arguments.Choices<MigrationState>("--state", "Only those in this state.");
        var host = Arguments.Host("Only those from or to this host.");
        var domain = new Option<string?>("--domain") { Description = "Only those of this domain.", HelpName = "name" };
        domain.CompletionSources.Add(Completions.Domains);
        var limit = new Option<int>("--limit", "-n") { Description = "At most so many; 0 is all.", DefaultValueFactory = _ => 50, HelpName = "number" };
        var command = new Command("migrations", "Lists migrations, also those that are over, the newest first.") { states, host, domain, limit }.Runs(async session =>
        {
            var all = session.Service.ListMigrationsAsync(new MigrationFilter { States = session.Get(states) ?? [], Host = session.Get(host), Domain = session.Get(domain) }, cancellationToken: session.Token);
            session.Output.WriteTable(
                await (session.Get(limit) is > 0 and var most ? all.Take(most) : all).ToListAsync(session.Token),
                "There are no such migrations.",
                ["DOMAIN", "FROM", "TO", "STATE", "STEP", "SINCE", "MIGRATION", "WHY"],
                one =>
                [
                    Output.Cell(one.DomainName),
                    Output.Cell(one.Source),
                    Output.Cell(one.Destination),
                    Words.Of(one.State),
                    Words.Of(one.Step),
                    Output.Cell(Words.Time(one.CreatedAt)),
                    Output.Cell(one.MigrationId.ToString()),
                    Output.Cell(one.Error?.Code ?? one.Reason ?? ""),
                ]);
        });
        var watch = new Option<bool>("--watch", "-w") { Description = "Follows it to its end; the exit code is then that end's." };
        var shown = Id();
        command.Add(new Command("show", "Shows a migration with its steps.") { shown, watch }.Runs(async session =>
        {
            var migration = await session.Service.GetMigrationAsync(session.Get(shown), session.Token);
            return session.Get(watch) ? await WatchAsync(session, migration) : Show(session, migration);
        }));
        var cancelled = Id();
        command.Add(new Command("cancel", "Takes a migration back, before its switch.") { cancelled }.Runs(async session =>
            Show(session, await session.Service.CancelMigrationAsync(session.Get(cancelled), session.Token))));
        var cleaned = Id();
        command.Add(new Command("clean", "Deletes what a completed migration left on the source.") { cleaned }.Runs(async session =>
            Show(session, await session.Service.RemoveLeftOnSourceAsync(session.Get(cleaned), session.Token))));
        return command;

        static Argument<Guid> Id() => new("migration-id") { Description = "The migration's id." };
    }

    private static int Show(Session session, Migration migration)
    {
        session.Output.Write(migration, Draw);
        return ExitCodes.Ok;
    }

    private static async Task<int> WatchAsync(Session session, Migration begun)
    {
        var last = begun;
        if (session.Output.Terminal)
            await session.Output.Console.Live(Draw(begun)).StartAsync(async live =>
            {
                await foreach (var migration in FollowAsync(session, begun))
                {
                    last = migration;
                    live.UpdateTarget(Draw(migration));
                }
            });
        else
            last = await PrintAsync(session, begun);
        return ExitCodes.Of(last.State);
    }

    /// <summary>A line for each step that begins or ends, or each picture as a document.</summary>
    private static async Task<Migration> PrintAsync(Session session, Migration begun)
    {
        var last = begun;
        var told = new Dictionary<MigrationStepName, MigrationStepState>();
        await foreach (var migration in FollowAsync(session, begun))
        {
            last = migration;
            if (session.Output.Json)
            {
                session.Output.WriteLine(migration, _ => "");
                continue;
            }
            foreach (var step in migration.Steps.Where(step => step.State != MigrationStepState.Pending && told.GetValueOrDefault(step.Name) != step.State))
            {
                told[step.Name] = step.State;
                session.Output.WriteLine(step, StepLine);
            }
        }
        if (!session.Output.Json)
            session.Output.WriteLine(last, end => $"{EnumNames.Of(end.State)}{(end.Error is { } error ? $": {error.Code}: {error.Detail}" : "")}");
        return last;
    }

    private static async IAsyncEnumerable<Migration> FollowAsync(Session session, Migration begun)
    {
        if (begun.IsOver)
        {
            yield return begun;
            yield break;
        }
        await foreach (var migration in session.Service.WatchMigrationsAsync(new MigrationSubscription(Domain: begun.Domain.ToString()), session.Token))
        {
            if (migration.MigrationId != begun.MigrationId)
                continue;
            yield return migration;
            if (migration.IsOver)
                yield break;
        }
    }

    private static Rows Draw(Migration migration)
    {
        var steps = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "", "", "");
        foreach (var step in migration.Steps)
            steps.AddRow(
                Output.Cell(step.State switch { MigrationStepState.Done => "✓", MigrationStepState.Running => "▸", MigrationStepState.Failed => "✗", MigrationStepState.Undone => "↶", _ => " " },
                    step.State switch { MigrationStepState.Done => new Style(Color.Green), MigrationStepState.Failed => new Style(Color.Red), _ => Style.Plain }),
                Words.Of(step.Name),
                Output.Cell(Took(step)),
                Output.Cell(step.Name == MigrationStepName.Migrate && step.State == MigrationStepState.Running && migration.Memory is { } memory
                    ? $"memory: {ByteSize.Format(memory.Remaining)} of {ByteSize.Format(memory.Total)} left, {ByteSize.FormatRate(memory.BytesPerSecond)}"
                    : step.Name == MigrationStepName.Stream && step.State == MigrationStepState.Running ? Left(migration) : step.Detail ?? ""));
        var head = $"{migration.DomainName}: {migration.Source} → {migration.Destination}, {EnumNames.Of(migration.State)}{(migration.Reason is { } reason ? $": {reason}" : "")}";
        return new Rows([
            Output.Cell(head), steps,
            .. migration.Error is { } error ? [Output.Cell($"{error.Code}: {error.Detail}")] : Array.Empty<Spectre.Console.Rendering.IRenderable>(),
            Output.Cell($"migration {migration.MigrationId}"),
        ]);
    }

    private static string StepLine(MigrationStep step) => $"{EnumNames.Of(step.Name),-18} {EnumNames.Of(step.State),-8} {Took(step),8}  {step.Detail}".TrimEnd();

    private static string Took(MigrationStep step) =>
        step is { StartedAt: { } from, FinishedAt: { } to } ? string.Create(CultureInfo.InvariantCulture, $"{(to - from).TotalSeconds:0.0} s") : "";

    private static string Left(Migration migration) =>
        string.Join(", ", migration.Disks.Select(disk => disk.BytesRemaining is { } left ? $"{disk.Target}: {ByteSize.Format(left)} left" : disk.Target));
}
