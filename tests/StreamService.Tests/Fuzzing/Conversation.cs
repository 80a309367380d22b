using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace StreamService.Tests.Fuzzing;

/// <summary>What a peer does: it waits for so much of the client (NBD: bytes, QMP: commands), then sends this.</summary>
internal sealed record Step(int Wait, byte[] Send);

/// <summary>
/// One file of a corpus: all that a peer says to a client, and what the client makes of it. Then the peer closes.
/// </summary>
/// <remarks>
/// The form: <c>expect: ok</c> or the exception and a part of its message; <c>ask:</c> what the client asks for; <c>include:</c>
/// another file's steps. Then steps: <c>&gt; 28</c> waits, the lines below it are sent: hex, text between backticks, repeated by
/// <c>*65</c> behind one or behind a <c>(group)</c>. A <c>#</c> begins a comment.
/// </remarks>
internal sealed partial record Conversation(string Name, string Expect, IReadOnlyList<string> Ask, IReadOnlyList<Step> Steps)
{
    private const int BytesPerLine = 32;

    /// <summary>Whether it is one that a peer of good will may have.</summary>
    public bool IsValid => Expect == "ok";

    /// <param name="protocol">The folder: Nbd or Qmp.</param>
    public static IReadOnlyList<Conversation> ReadAll(string protocol)
    {
        var folder = Path.Combine(AppContext.BaseDirectory, protocol, "Corpus");
        return [.. Directory.EnumerateFiles(folder, "*.txt").Order(StringComparer.Ordinal).Select(file => Read(file))];
    }

    public static Conversation Read(string file) => Parse(Path.GetFileNameWithoutExtension(file), File.ReadAllText(file), Path.GetDirectoryName(file)!);

    /// <param name="folder">Where includes are.</param>
    public static Conversation Parse(string name, string text, string folder)
    {
        var expect = "";
        var ask = new List<string>();
        var steps = new List<Step>();
        int? wait = null;
        var sent = new StringBuilder();
        foreach (var line in text.Split('\n').Select(line => Comment().Replace(line, "$1").Trim()).Where(line => line.Length > 0))
        {
            if (line.StartsWith('>'))
            {
                End();
                wait = int.Parse(line[1..], CultureInfo.InvariantCulture);
            }
            else if (Directive().Match(line) is { Success: true } directive)
            {
                var value = directive.Groups[2].Value.Trim();
                switch (directive.Groups[1].Value)
                {
                    case "expect":
                        expect = value;
                        break;
                    case "ask":
                        ask.AddRange(value.Split(' ', StringSplitOptions.RemoveEmptyEntries));
                        break;
                    default:
                        End();
                        steps.AddRange(Read(Path.Combine(folder, value + ".txt")).Steps);
                        break;
                }
            }
            else
            {
                sent.Append(line).Append('\n');
            }
        }
        End();
        return new(name, expect, ask, steps);

        void End()
        {
            if (wait is not null || sent.Length > 0)
                steps.Add(new(wait ?? 0, Bytes(sent.ToString())));
            wait = null;
            sent.Clear();
        }
    }

    /// <summary>From a step on the peer waits for nothing more, so that nobody can wait for the other.</summary>
    public Conversation With(int step, byte[] sent) => this with
    {
        Steps = [.. Steps.Select((old, i) => new Step(i > step ? 0 : old.Wait, i == step ? sent : old.Send))],
    };

    /// <summary>As a file of the corpus has it.</summary>
    public override string ToString()
    {
        var text = new StringBuilder($"# {Name}\nexpect: {Expect}\nask: {string.Join(' ', Ask)}\n");
        foreach (var step in Steps)
        {
            text.Append(CultureInfo.InvariantCulture, $"> {step.Wait}\n");
            Write(step.Send, text);
        }
        return text.ToString();
    }

    private static void Write(ReadOnlySpan<byte> bytes, StringBuilder text)
    {
        while (bytes.Length > 0)
        {
            var run = bytes.IndexOfAnyExcept(bytes[0]) is var end && end < 0 ? bytes.Length : end;
            var letters = bytes.IndexOfAnyExcept(Letters) is var last && last < 0 ? bytes.Length : last;
            var taken = run > 8 ? run : letters > 3 ? letters : 1;
            if (run > 8)
                text.Append(CultureInfo.InvariantCulture, $"{bytes[0]:x2}*{run}\n");
            else if (letters > 3)
                text.Append(CultureInfo.InvariantCulture, $"`{Encoding.ASCII.GetString(bytes[..taken])}`\n");
            else
            {
                while (taken < Math.Min(bytes.Length, BytesPerLine) && bytes[taken..].IndexOfAnyExcept(Letters) is >= 0 and < 4)
                    taken++;
                text.Append(Convert.ToHexStringLower(bytes[..taken])).Append('\n');
            }
            bytes = bytes[taken..];
        }
    }

    /// <summary>All of ASCII that is seen, except for the mark of text itself.</summary>
    private static readonly System.Buffers.SearchValues<byte> Letters =
        System.Buffers.SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Where(letter => letter != '`').Select(letter => (byte)letter)]);

    private static byte[] Bytes(string text)
    {
        var at = 0;
        var bytes = Group();
        return at == text.Length ? [.. bytes] : throw new FormatException($"Not understood: {text[at..]}");

        List<byte> Group()
        {
            var group = new List<byte>();
            while (at < text.Length && text[at] != ')')
            {
                if (char.IsWhiteSpace(text[at]))
                {
                    at++;
                    continue;
                }
                List<byte> item;
                if (text[at] == '(')
                {
                    at++;
                    item = Group();
                    at++;
                }
                else if (text[at] == '`')
                {
                    var end = text.IndexOf('`', at + 1);
                    item = [.. Encoding.UTF8.GetBytes(text[(at + 1)..end])];
                    at = end + 1;
                }
                else
                {
                    var begin = at;
                    while (at < text.Length && char.IsAsciiHexDigit(text[at]))
                        at++;
                    item = at == begin ? throw new FormatException($"Not understood: {text[at..]}") : [.. Convert.FromHexString(text[begin..at])];
                }
                var times = 1;
                if (at < text.Length && text[at] == '*')
                {
                    var begin = ++at;
                    while (at < text.Length && char.IsAsciiDigit(text[at]))
                        at++;
                    times = int.Parse(text[begin..at], CultureInfo.InvariantCulture);
                }
                for (; times > 0; times--)
                    group.AddRange(item);
            }
            return group;
        }
    }

    /// <summary>A comment, unless its mark is in text.</summary>
    [GeneratedRegex("^((?:[^#`]|`[^`]*`)*)#.*$")]
    private static partial Regex Comment();

    [GeneratedRegex("^(expect|ask|include):(.*)$")]
    private static partial Regex Directive();
}
