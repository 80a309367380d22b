using System.Text.RegularExpressions;

namespace StreamService.IntegrationTests.Operations;

/// <summary>Which metrics an expression of PromQL names, and which labels of each it asks for.</summary>
internal static partial class PromQl
{
    private static readonly HashSet<string> Words = ["and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "inf", "nan"];

    /// <summary>Words behind which a list of labels stands.</summary>
    private static readonly HashSet<string> Lists = ["by", "without", "on", "ignoring", "group_left", "group_right"];

    /// <summary>The names of metrics, each with the labels of its matchers.</summary>
    public static IReadOnlyList<(string Metric, IReadOnlyList<string> Labels)> MetricsIn(string expression)
    {
        var metrics = new List<(string, IReadOnlyList<string>)>();
        var tokens = Token().Matches(expression).Select(token => token.Value).ToList();
        for (var i = 0; i < tokens.Count; i++)
        {
            var next = i + 1 < tokens.Count ? tokens[i + 1] : "";
            if (Lists.Contains(tokens[i].ToLowerInvariant()) && next == "(")
                i = tokens.IndexOf(")", i);
            else if (Name().IsMatch(tokens[i]) && !Words.Contains(tokens[i].ToLowerInvariant()) && next is not ("(" or "by" or "without"))
                metrics.Add((tokens[i], next.StartsWith('{') ? [.. Matcher().Matches(next).Select(matcher => matcher.Groups[1].Value)] : []));
        }
        return metrics;
    }

    /// <summary>Selectors and ranges are one token each: what is in them names no metric.</summary>
    [GeneratedRegex("""\{(?:[^}"]|"(?:[^"\\]|\\.)*")*\}|\[[^\]]*\]|"(?:[^"\\]|\\.)*"|[a-zA-Z_:][a-zA-Z0-9_:]*|\d[\d.a-z]*|\S""")]
    private static partial Regex Token();

    [GeneratedRegex("^[a-zA-Z_:]")]
    private static partial Regex Name();

    [GeneratedRegex("""(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*" """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex Matcher();
}
