namespace StreamService.Benchmarks;

/// <summary>Figures of repeated measurements.</summary>
internal static class Sample
{
    public static double Median(IEnumerable<double> values) => Quantile(values, 0.5);

    /// <param name="fraction">0 is the smallest, 1 the largest; between two values it is interpolated.</param>
    public static double Quantile(IEnumerable<double> values, double fraction)
    {
        var sorted = values.Order().ToArray();
        var position = fraction * (sorted.Length - 1);
        var below = (int)position;
        var above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
    }

    public static async Task<TimeSpan> TimeAsync(Func<Task> action)
    {
        var begun = TimeProvider.System.GetTimestamp();
        await action();
        return TimeProvider.System.GetElapsedTime(begun);
    }
}
