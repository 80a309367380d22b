using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;
using StreamService.Client;
using StreamService.Client.Json;

namespace StreamService.Ctl;

/// <summary>States, shares and times in words.</summary>
internal static class Words
{
    public static IRenderable Of(StreamState state) => Output.Cell(EnumNames.Of(state), state switch
    {
        StreamState.Completed => new Style(Color.Green),
        StreamState.Failed => new Style(Color.Red),
        StreamState.Waiting or StreamState.Paused => new Style(Color.Yellow),
        StreamState.Running or StreamState.Finalizing => new Style(Color.Blue),
        _ => Style.Plain,
    });

    public static IRenderable Of(MigrationState state) => Output.Cell(EnumNames.Of(state), state switch
    {
        MigrationState.Completed => new Style(Color.Green),
        MigrationState.Failed => new Style(Color.Red),
        MigrationState.Waiting or MigrationState.GoingBack => new Style(Color.Yellow),
        _ => Style.Plain,
    });

    public static IRenderable Of(HostState state) => Output.Cell(EnumNames.Of(state), new Style(state == HostState.Connected ? Color.Green : Color.Red));

    public static IRenderable Of<T>(T value)
        where T : struct, Enum => Output.Cell(EnumNames.Of(value));

    /// <summary>How much of a disk needs no streaming any more, to a whole percent; 100 % only when nothing is left.</summary>
    public static string Percent(StreamStatus status) =>
        status.Size == 0 ? "-" : string.Create(CultureInfo.InvariantCulture, $"{Math.Floor((double)status.Offset / status.Size * 100)} %");

    public static string Duration(double seconds)
    {
        var span = TimeSpan.FromSeconds(Math.Ceiling(Math.Min(seconds, TimeSpan.MaxValue.TotalSeconds / 2)));
        return span switch
        {
            { TotalMinutes: < 1 } => $"{span.Seconds} s",
            { TotalHours: < 1 } => $"{span.Minutes} min {span.Seconds} s",
            { TotalDays: < 1 } => $"{span.Hours} h {span.Minutes} min",
            _ => $"{(long)span.TotalDays} d {span.Hours} h",
        };
    }

    /// <summary>In the reader's own zone.</summary>
    public static string Time(DateTimeOffset? time) => time?.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) ?? "-";

    /// <summary>What there is to say of a stream beside its state and percentage.</summary>
    public static string Details(StreamStatus status)
    {
        var parts = new List<string>();
        if (status.BytesRemaining is { } remaining && !status.IsOver)
            parts.Add($"{ByteSize.Format(remaining)} left");
        if (status.BytesPerSecond > 0 && !status.IsOver)
            parts.Add(ByteSize.FormatRate(status.BytesPerSecond));
        if (status.EtaSeconds is { } eta && !status.IsOver)
            parts.Add(Duration(eta));
        if (status.State == StreamState.Completed)
            parts.Add($"{ByteSize.Format(status.BytesStreamed)} streamed");
        if (status.Reason is { } reason)
            parts.Add(reason);
        if (status.Error is { } error)
            parts.Add($"{error.Code}: {error.Detail}");
        return string.Join(", ", parts);
    }
}
