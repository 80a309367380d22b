using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;
using StreamService.Client;
using StreamService.Client.Json;

namespace StreamService.Ctl.Commands;

/// <summary>A disk's stream: begun, looked at, changed, ended; as <c>virsh blockpull</c> and <c>blockjob</c> are.</summary>
internal static class StreamCommands
{
    public static IEnumerable<Command> All => [Stream(), Status(), Pause(), Resume(), Cancel(), Set(), Events()];

    private static Command Stream()
    {
        var disk = new DiskArguments();
        var how = new StreamArguments();
        var watch = new Option<bool>("--watch", "-w") { Description = "Follows it to its end; the exit code is then that end's." };
        var key = new Option<string?>("--idempotency-key") { Description = "The same key and request answer as the first time did.", HelpName = "key" };
        var single = new Option<bool>("--single") { Description = "Streams one unit now, instead of the whole disk in the background." };
        var offset = Arguments.Size("--offset", "single: where the unit begins, a multiple of 512. Default: 0.");
        var length = Arguments.Size("--length", "single: how much, a multiple of 512. Default: one cluster.");
        var follow = new Option<bool>("--follow") { Description = "single: goes on where each step says, until nothing is left." };
        var command = disk.AddTo(new Command("stream", "Streams a disk: the whole of it in the background, or single units."));
        how.AddTo(command);
        foreach (var option in new Option[] { watch, key, single, offset, length, follow })
            command.Add(option);
        command.Validators.Add(result =>
        {
            if (!result.GetValue(single))
                foreach (var option in new Option[] { offset, length, follow })
                    if (result.GetResult(option) is { Implicit: false })
                        result.AddError($"{option.Name} goes with --single only.");
            if (result.GetValue(single) && result.GetValue(watch))
                result.AddError("--watch goes with a stream in the background; with --single it is --follow.");
        });
        return command.Runs(async session =>
        {
            var target = await session.FindDiskAsync(disk);
            var options = how.Read(session);
            if (!session.Get(single))
            {
                var status = await target.StartAsync(options, session.Get(key), session.Token);
                return session.Get(watch) ? await StreamWatching.WatchAsync(session, status) : Show(session, status);
            }
            if (!session.Get(follow))
            {
                session.Output.WriteLine(await target.StepAsync(session.Get(offset) ?? 0, session.Get(length), options.Base, session.Get(key), session.Token), Line);
                return ExitCodes.Ok;
            }
            await foreach (var step in target.StepsAsync(session.Get(offset) ?? 0, session.Get(length), options.Base, session.Token))
                session.Output.WriteLine(step, Line);
            return ExitCodes.Ok;
        });

        static string Line(StepResult step) =>
            step.Done ? "done: nothing is left, the backing link is dropped"
            : string.Create(CultureInfo.InvariantCulture, $"{ByteSize.Format(step.Populated)} populated; go on at {step.Offset} of {step.Size}");
    }

    private static Command Status()
    {
        var disk = new DiskArguments();
        var watch = new Option<bool>("--watch", "-w") { Description = "Follows the stream to its end; the exit code is then that end's." };
        var command = disk.AddTo(new Command("status", "Shows a disk's newest stream."));
        command.Add(watch);
        return command.Runs(async session =>
        {
            var status = await (await session.FindDiskAsync(disk)).GetStatusAsync(session.Token);
            return session.Get(watch) ? await StreamWatching.WatchAsync(session, status) : Show(session, status);
        });
    }

    private static Command Pause() => OnDisk("pause", "Has a disk's stream rest.", (target, session) => target.PauseAsync(session.Token));

    private static Command Resume() => OnDisk("resume", "Has a paused stream go on.", (target, session) => target.ResumeAsync(session.Token));

    private static Command Cancel() =>
        OnDisk("cancel", "Ends a disk's stream. What was populated stays, and a later stream goes on from it.", (target, session) => target.CancelAsync(session.Token));

    private static Command Set()
    {
        var disk = new DiskArguments();
        var bandwidth = Arguments.Rate("--bandwidth", "At most so many bytes a second, as 50MiB, or unlimited.");
        var minBandwidth = Arguments.Rate("--min-bandwidth", "adaptive: what the guest's load does not push it below.");
        var policy = Arguments.Choice<StreamPolicy>("--policy", "Whether it gives way to the guest.");
        var targetLatency = new Option<double?>("--target-latency") { Description = "adaptive: the guest's mean latency to stay under.", HelpName = "ms" };
        var priority = Arguments.Choice<StreamPriority>("--priority", "Its weight under a budget.");
        var all = new Option[] { bandwidth, minBandwidth, policy, targetLatency, priority };
        var command = disk.AddTo(new Command("set", "Changes a disk's stream at once."));
        foreach (var option in all)
            command.Add(option);
        command.Validators.Add(result =>
        {
            if (all.All(option => result.GetResult(option) is null))
                result.AddError($"Nothing is to be changed: give one of {string.Join(", ", all.Select(option => option.Name))}.");
        });
        return command.Runs(async session => Show(session, await (await session.FindDiskAsync(disk)).ChangeAsync(new StreamChange
        {
            Bandwidth = session.Get(bandwidth),
            MinBandwidth = session.Get(minBandwidth),
            Policy = session.Get(policy),
            TargetLatencyMs = session.Get(targetLatency),
            Priority = session.Get(priority),
        }, session.Token)));
    }

    private static Command Events()
    {
        var stream = new Argument<Guid>("stream-id") { Description = "The stream's id, as status shows it." };
        return new Command("events", "Shows what became of a stream.") { stream }.Runs(async session =>
            session.Output.WriteTable(
                await session.Service.ListEventsAsync(session.Get(stream), cancellationToken: session.Token).ToListAsync(session.Token),
                "Nothing of it is on record.",
                ["TIME", "STATE", "WHY"],
                happened => [Output.Cell(Words.Time(happened.Time)), Words.Of(happened.State), Output.Cell(happened.Error is { } error ? $"{error.Code}: {error.Detail}" : happened.Reason ?? "")]));
    }

    private static Command OnDisk(string name, string description, Func<DiskClient, Session, Task<StreamStatus>> act)
    {
        var disk = new DiskArguments();
        return disk.AddTo(new Command(name, description)).Runs(async session => Show(session, await act(await session.FindDiskAsync(disk), session)));
    }

    private static int Show(Session session, StreamStatus status)
    {
        session.Output.Write(status, Draw);
        return ExitCodes.Ok;
    }

    private static Grid Draw(StreamStatus status)
    {
        var grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        Add("disk", Output.Cell($"{status.DomainName} {status.Path} on {status.Host}, {ByteSize.Format(status.Size)}"));
        Add("state", Words.Of(status.State));
        if (status.StreamId is not { } id)
            return grid;
        AddText("reason", status.Reason);
        AddText("error", status.Error is { } error ? $"{error.Code}: {error.Detail}" : null);
        AddText("progress", $"{Words.Percent(status)}, {ByteSize.Format(status.BytesStreamed)} streamed, {ByteSize.Format(status.BytesDurable)} of them durable"
            + (status.BytesRemaining is { } remaining ? $", {ByteSize.Format(remaining)} left" : ""));
        AddText("rate", status.IsOver ? null : $"{ByteSize.FormatRate(status.BytesPerSecond)} of {ByteSize.FormatLimit(status.Bandwidth)}"
            + (status.EtaSeconds is { } eta ? $", {Words.Duration(eta)} to the end" : ""));
        AddText("how", string.Join(", ", new[]
        {
            status.Engine is { } engine ? EnumNames.Of(engine) : null,
            status.Policy is { } policy ? EnumNames.Of(policy) : null,
            status.Priority is { } priority ? $"priority {EnumNames.Of(priority)}" : null,
            status.Order is { } order ? EnumNames.Of(order) : null,
            status.Base is { } stays ? $"down to {stays}" : null,
        }.OfType<string>()));
        AddText("last fault", status.LastError is { } fault ? $"{fault.Code}: {fault.Detail}" : null);
        AddText("next attempt", status.NextAttemptAt is { } next ? Words.Time(next) : null);
        AddText("since", Words.Time(status.CreatedAt));
        AddText("until", status.FinishedAt is { } finished ? Words.Time(finished) : null);
        AddText("stream", id.ToString());
        return grid;

        void AddText(string name, string? text)
        {
            if (text is { Length: > 0 })
                Add(name, Output.Cell(text));
        }

        void Add(string name, IRenderable value) => grid.AddRow(Output.Cell(name, new Style(decoration: Decoration.Dim)), value);
    }
}
