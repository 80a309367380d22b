using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;
using StreamService.Client;
using StreamService.Client.Json;

namespace StreamService.Ctl;

/// <summary>Follows a stream over the hub to its end: a bar on a terminal, else lines, or JSON documents, one a line.</summary>
internal static class StreamWatching
{
    /// <summary>Lines of progress come no sooner than this after each other; those of a new state at once.</summary>
    private static readonly TimeSpan BetweenLines = TimeSpan.FromSeconds(2);

    /// <returns>The exit code by the stream's end.</returns>
    public static async Task<int> WatchAsync(Session session, StreamStatus begun)
    {
        if (begun.StreamId is not { } id || begun.IsOver)
        {
            session.Output.WriteLine(begun, Line);
            return ExitCodes.Of(begun.State);
        }
        var end = session.Output.Terminal
            ? await DrawAsync(session, begun, id)
            : await PrintAsync(session, begun, id);
        return ExitCodes.Of(end.State);
    }

    private static async Task<StreamStatus> PrintAsync(Session session, StreamStatus begun, Guid id)
    {
        var last = begun;
        long? printed = null;
        StreamState? state = null;
        await foreach (var status in FollowAsync(session, begun, id))
        {
            last = status;
            var due = session.Output.Json || status.State != state || printed is null || TimeProvider.System.GetElapsedTime(printed.Value) >= BetweenLines;
            if (!due)
                continue;
            session.Output.WriteLine(status, Line);
            (printed, state) = (TimeProvider.System.GetTimestamp(), status.State);
        }
        return last;
    }

    private static Task<StreamStatus> DrawAsync(Session session, StreamStatus begun, Guid id) =>
        session.Output.Console.Progress()
            .AutoClear(false)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new StateColumn())
            .StartAsync(async context =>
            {
                var task = context.AddTask(Markup.Escape(Output.Printable($"{begun.DomainName} {begun.Path}")), maxValue: Math.Max(1, begun.Size));
                var last = begun;
                Show(task, begun);
                await foreach (var status in FollowAsync(session, begun, id))
                    Show(task, last = status);
                task.StopTask();
                return last;
            });

    private static void Show(ProgressTask task, StreamStatus status)
    {
        task.Value = status.Size == 0 ? 0 : status.Offset;
        task.State.Update<StateColumn.Shown>(StateColumn.Key, _ => new(status));
    }

    /// <summary>The stream's pictures, up to its last.</summary>
    private static async IAsyncEnumerable<StreamStatus> FollowAsync(Session session, StreamStatus begun, Guid id)
    {
        await foreach (var (status, _) in session.Service.WatchAsync(new StreamSubscription(begun.Host, begun.Domain.ToString(), begun.Path), session.Token))
        {
            if (status.StreamId != id)
                continue;
            yield return status;
            if (status.IsOver)
                yield break;
        }
    }

    private static string Line(StreamStatus status) =>
        string.Create(CultureInfo.InvariantCulture, $"{EnumNames.Of(status.State),-10} {Words.Percent(status),5}  {Words.Details(status)}").TrimEnd();

    /// <summary>Percentage, state and all else, behind the bar.</summary>
    private sealed class StateColumn : ProgressColumn
    {
        public const string Key = "status";

        /// <summary>The library keeps values only.</summary>
        public readonly record struct Shown(StreamStatus Status);

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            task.State.Get<Shown>(Key) is { Status: { } status }
                ? new Columns(Output.Cell(Words.Percent(status)), Words.Of(status.State), Output.Cell(Words.Details(status))) { Expand = false }
                : Text.Empty;
    }
}
