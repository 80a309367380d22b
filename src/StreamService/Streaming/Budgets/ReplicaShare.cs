namespace StreamService.Streaming.Budgets;

/// <summary>What one replica may use of a budget that several share.</summary>
public static class ReplicaShare
{
    /// <summary>By the weights of what is at work on each. The sum over all replicas is the pace, once each knows the others' weights.</summary>
    /// <param name="pace">Of the budget, in bytes per second; 0 is unlimited.</param>
    /// <param name="here">The weights of the streams at work on this replica.</param>
    /// <param name="elsewhere">Those of all others.</param>
    /// <returns>In bytes per second; 0 is unlimited.</returns>
    public static long Of(long pace, int here, int elsewhere) =>
        pace == 0 || elsewhere <= 0 ? pace
        // Who is about to begin counts as one of the least: else it would never be at work.
        : Math.Max(1, (long)((double)pace * Math.Max(1, here) / (Math.Max(1, here) + elsewhere)));
}

/// <summary>One replica's part of a budget.</summary>
/// <param name="Weight">The sum of the priorities' weights of those at work.</param>
/// <param name="Streams">How many share it.</param>
public sealed record BudgetLoad(int Weight, int Streams);
