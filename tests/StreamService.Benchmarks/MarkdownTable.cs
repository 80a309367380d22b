namespace StreamService.Benchmarks;

/// <summary>Collects rows and prints them aligned; each is also told when it comes, as a run takes minutes.</summary>
internal sealed class MarkdownTable(params string[] headers)
{
    private readonly List<string[]> _rows = [];

    public void Add(params string[] cells)
    {
        _rows.Add(cells);
        Console.Error.WriteLine(string.Join("; ", cells));
    }

    public void Print()
    {
        var widths = headers.Select((header, column) => _rows.Select(row => row[column].Length).Append(header.Length).Max()).ToArray();
        Console.WriteLine(Line(headers, widths));
        Console.WriteLine(Line([.. widths.Select(width => new string('-', width))], widths));
        foreach (var row in _rows)
            Console.WriteLine(Line(row, widths));
    }

    private static string Line(string[] cells, int[] widths) => $"| {string.Join(" | ", cells.Zip(widths, (cell, width) => cell.PadRight(width)))} |";
}
