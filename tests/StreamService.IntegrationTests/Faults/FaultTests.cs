namespace StreamService.IntegrationTests.Faults;

/// <summary>The fault table: every row on a real domain, each with its own service, compared byte by byte at the end.</summary>
[Trait("Category", "Slow")]
public abstract class FaultTests(FaultTable table)
{
    private protected async Task PlayAsync(FaultRow row)
    {
        row.Require();
        var expected = string.Join(" → ", row.Expected);
        await using var bench = await FaultBench.StartAsync(row);
        try
        {
            await row.PlayAsync(bench);
            AssertSeen(row.Expected, bench.Seen());
            table.Add(row.Fault, row.Moment, expected, $"{Describe(bench.Seen())}; bytes equal");
        }
        catch (Exception exception)
        {
            table.Add(row.Fault, row.Moment, expected, $"{Describe(bench.Seen())}; **{exception.GetType().Name}**");
            throw new InvalidOperationException($"{row.Fault}, {row.Moment}: {exception.Message}\n{bench.Service.LogText}", exception);
        }
    }

    private static void AssertSeen(IReadOnlyList<string> expected, IReadOnlyList<(string State, string Reason)> seen)
    {
        var next = 0;
        foreach (var wanted in expected)
        {
            var (state, words) = wanted.Split(": ", 2) is [var first, var rest] ? (first, rest) : (wanted, "");
            while (next < seen.Count && (seen[next].State != state || !seen[next].Reason.Contains(words, StringComparison.Ordinal)))
                next++;
            Assert.True(next < seen.Count, $"'{wanted}' was not seen in {Describe(seen)}");
            next++;
        }
    }

    internal static string Describe(IReadOnlyList<(string State, string Reason)> seen)
    {
        var steps = seen.Select(step => step.Reason.Length == 0 || step.State is "running" ? step.State : $"{step.State} ({Shorten(step.Reason)})").ToList();
        // Attempts that fail alike are told once.
        return string.Join(" → ", steps.Where((step, i) => i == 0 || Kind(step) != Kind(steps[i - 1])));

        static string Kind(string step) => step.Split(" Attempt ")[0];
        static string Shorten(string reason) => reason.Length <= 90 ? reason : reason[..90] + "…";
    }

    private protected static TheoryData<string> Names(IEnumerable<FaultRow> rows) => [.. rows.Select(row => $"{row.Fault}, {row.Moment}")];

    private protected Task PlayAsync(IEnumerable<FaultRow> rows, string name) => PlayAsync(rows.Single(row => $"{row.Fault}, {row.Moment}" == name));
}
