using System.Collections.Concurrent;
using StreamService.IntegrationTests.Faults;
using StreamService.IntegrationTests.Harness;

[assembly: AssemblyFixture(typeof(FaultTable))]

namespace StreamService.IntegrationTests.Faults;

/// <summary>What was seen of each fault: TestResults/faults.md, written when the tests are over, and printed.</summary>
public sealed class FaultTable : IDisposable
{
    private readonly ConcurrentBag<(string Fault, string Moment, string Expected, string Seen)> _rows = [];

    public static string Path => System.IO.Path.Combine(Repository.Root, "TestResults", "faults.md");

    public void Add(string fault, string moment, string expected, string seen) => _rows.Add((fault, moment, expected, seen));

    public void Dispose()
    {
        if (_rows.IsEmpty)
            return;
        var lines = new List<string> { "| fault | moment | expected | seen |", "| --- | --- | --- | --- |" };
        lines.AddRange(_rows.OrderBy(row => row.Fault, StringComparer.Ordinal).ThenBy(row => row.Moment, StringComparer.Ordinal)
            .Select(row => $"| {row.Fault} | {row.Moment} | {row.Expected} | {row.Seen} |"));
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
        File.WriteAllLines(Path, lines);
        lines.ForEach(Console.WriteLine);
    }
}
