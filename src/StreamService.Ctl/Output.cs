using System.CommandLine;
using System.Text.Json;
using Spectre.Console;
using Spectre.Console.Rendering;
using StreamService.Client.Json;

namespace StreamService.Ctl;

/// <summary>The terminal, or whatever stands in its place: tables or JSON there, complaints on the standard error.</summary>
internal sealed class Output
{
    /// <summary>Lines that nobody sees on a screen are not broken.</summary>
    private const int Unbroken = 4096;

    private static readonly JsonSerializerOptions Indented = new(ApiJson.Options) { WriteIndented = true };
    private readonly TextWriter _error;
    private readonly bool _terminal;

    private Output(TextWriter output, TextWriter error, bool json, bool terminal)
    {
        _error = error;
        _terminal = terminal;
        Json = json;
        Terminal = terminal && !json;
        var plain = !terminal || Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 } || Environment.GetEnvironmentVariable("TERM") is "dumb";
        Console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(output),
            Ansi = terminal && Environment.GetEnvironmentVariable("TERM") is not "dumb" ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = plain ? ColorSystemSupport.NoColors : ColorSystemSupport.Standard,
            Interactive = terminal ? InteractionSupport.Yes : InteractionSupport.No,
        });
        if (!terminal)
            Console.Profile.Width = Unbroken;
    }

    public IAnsiConsole Console { get; }

    /// <summary>Whether programs read it.</summary>
    public bool Json { get; }

    /// <summary>Whether a person watches, so that what was printed may be drawn over.</summary>
    public bool Terminal { get; }

    public static Output Of(ParseResult parsed) => new(
        parsed.InvocationConfiguration.Output,
        parsed.InvocationConfiguration.Error,
        parsed.GetValue(GlobalOptions.Output) == OutputForm.Json,
        terminal: !System.Console.IsOutputRedirected);

    /// <summary>One answer: as a document, or drawn.</summary>
    public void Write<T>(T value, Func<T, IRenderable> draw)
    {
        if (Json)
            Console.Profile.Out.Writer.WriteLine(JsonSerializer.Serialize(value, _terminal ? Indented : ApiJson.Options));
        else
            Console.Write(draw(value));
    }

    /// <summary>One of several, each on a line of its own, as they come.</summary>
    public void WriteLine<T>(T value, Func<T, string> text)
    {
        Console.Profile.Out.Writer.WriteLine(Json ? JsonSerializer.Serialize(value, ApiJson.Options) : Printable(text(value)));
        Console.Profile.Out.Writer.Flush();
    }

    /// <summary>A list: an array, or a table; in a sentence where it is empty.</summary>
    public void WriteTable<T>(IReadOnlyCollection<T> items, string none, string[] headers, Func<T, IRenderable[]> cells) =>
        WriteTable(items, items, none, headers, cells);

    /// <summary>An answer as a document, or what is in it as a table; in a sentence where that is empty.</summary>
    public void WriteTable<T, TRow>(T value, IReadOnlyCollection<TRow> rows, string none, string[] headers, Func<TRow, IRenderable[]> cells)
    {
        if (Json)
        {
            Write(value, _ => Cell(""));
            return;
        }
        if (rows.Count == 0)
        {
            Console.WriteLine(none);
            return;
        }
        var table = new Table().Border(Terminal ? TableBorder.Simple : TableBorder.None);
        foreach (var header in headers)
            table.AddColumn(new TableColumn(Cell(header)) { NoWrap = !Terminal });
        foreach (var row in rows)
            table.AddRow(cells(row));
        Console.Write(table);
    }

    public void Error(string text) => _error.WriteLine($"streamctl: {Printable(text)}");

    public void ErrorDetail(string text) => _error.WriteLine($"  {Printable(text)}");

    /// <summary>Text from elsewhere, that nothing in it moves the cursor or colours the screen.</summary>
    public static IRenderable Cell(string? text, Style? style = null) => new Text(Printable(text ?? "-"), style);

    internal static string Printable(string text) => text.Any(char.IsControl) ? string.Concat(text.Select(letter => char.IsControl(letter) ? ' ' : letter)) : text;
}
