using System.CommandLine;
using System.Text;
using Spectre.Console;
using StreamService.Client;

namespace StreamService.Ctl.Commands;

/// <summary>A disk's allocation map, drawn.</summary>
internal static class MapCommand
{
    private const int DefaultWidth = 64, DefaultRows = 8;

    public static Command Create()
    {
        var disk = new DiskArguments();
        var width = new Option<int>("--width") { Description = "Cells in a row.", DefaultValueFactory = _ => DefaultWidth, HelpName = "cells" };
        var rows = new Option<int>("--rows") { Description = "Rows.", DefaultValueFactory = _ => DefaultRows, HelpName = "number" };
        var extents = new Option<bool>("--extents") { Description = "Lists the extents instead: exact, and long." };
        var command = disk.AddTo(new Command("map", "Draws what of a disk is in its overlay, and what only in the backing chain."));
        foreach (var option in new Option[] { width, rows, extents })
            command.Add(option);
        command.Validators.Add(result =>
        {
            if (result.GetValue(width) is < 1 or > 1024 || result.GetValue(rows) is < 1 or > 64)
                result.AddError("--width is 1 to 1024, --rows 1 to 64.");
        });
        return command.Runs(async session =>
        {
            var target = await session.FindDiskAsync(disk);
            if (!session.Get(extents))
            {
                var map = await target.GetMapAsync(session.Get(width) * session.Get(rows), session.Token);
                session.Output.Write(map, drawn => new Rows(Draw(drawn, session.Get(width)).Select(line => Output.Cell(line))));
                return;
            }
            var all = await target.GetMapAsync(cancellationToken: session.Token);
            session.Output.WriteTable(all, [.. all.Extents ?? []], "The disk is empty.", ["OFFSET", "LENGTH", "STATE", "DEPTH"], (Extent extent) =>
            [
                Output.Cell(extent.Offset.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                Output.Cell(ByteSize.Format(extent.Length)),
                Words.Of(extent.State),
                Output.Cell(extent.Depth.ToString(System.Globalization.CultureInfo.InvariantCulture)),
            ]);
        });
    }

    /// <summary>From the first byte to the last, row by row, and what the shades mean.</summary>
    internal static IEnumerable<string> Draw(AllocationMap map, int width)
    {
        foreach (var row in (map.Buckets ?? []).Chunk(width))
        {
            var line = new StringBuilder("|", width + 2);
            foreach (var fraction in row)
                line.Append(Shade(fraction));
            yield return line.Append('|').ToString();
        }
        yield return $"{ByteSize.Format(map.Size)} from the first byte to the last; {ByteSize.Format(map.Populated)} in the overlay, {ByteSize.Format(map.Remaining)} only in the backing chain";
        yield return "█ nothing left to stream  ▓ ▒ ░ less and less of it  · all of it only in the backing chain";
    }

    /// <summary>Full only where nothing is left, empty only where all is.</summary>
    private static char Shade(double populated) => populated switch
    {
        >= 1 => '█',
        >= 2.0 / 3 => '▓',
        >= 1.0 / 3 => '▒',
        > 0 => '░',
        _ => '·',
    };
}
