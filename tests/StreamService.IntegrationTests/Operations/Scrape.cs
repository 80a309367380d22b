using System.Text.RegularExpressions;

namespace StreamService.IntegrationTests.Operations;

/// <summary>What <c>/metrics</c> answered, in Prometheus' text form.</summary>
internal sealed partial class Scrape
{
    private readonly List<(string Name, Dictionary<string, string> Labels, double Value)> _samples;

    public Scrape(string text)
    {
        Text = text;
        _samples = [.. Sample().Matches(text).Select(line => (
            line.Groups["name"].Value,
            Label().Matches(line.Groups["labels"].Value).ToDictionary(label => label.Groups[1].Value, label => label.Groups[2].Value),
            double.Parse(line.Groups["value"].Value.Replace("+Inf", "Infinity", StringComparison.Ordinal), System.Globalization.CultureInfo.InvariantCulture)))];
    }

    public string Text { get; }

    /// <summary>The labels that samples of that name have; none where there is no such sample.</summary>
    public IReadOnlySet<string> LabelsOf(string name) => _samples.Where(sample => sample.Name == name).SelectMany(sample => sample.Labels.Keys).ToHashSet();

    /// <summary>Whether there is a sample of that name.</summary>
    public bool Has(string name) => _samples.Any(sample => sample.Name == name);

    /// <summary>The sum of the samples of that name with all of these labels.</summary>
    public double Sum(string name, params (string Label, string Value)[] labels) =>
        _samples.Where(sample => sample.Name == name && labels.All(label => sample.Labels.GetValueOrDefault(label.Label) == label.Value)).Sum(sample => sample.Value);

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?<labels>.*)\})? (?<value>\S+)( \d+)?$""", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex Sample();

    [GeneratedRegex("""([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?""")]
    private static partial Regex Label();
}
