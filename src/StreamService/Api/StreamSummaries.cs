using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>What streams add up to.</summary>
/// <param name="Streams">How many there are.</param>
/// <param name="States">How many of them are in each state.</param>
/// <param name="Attention">How many wait for something, or failed with nothing done about their disk since.</param>
/// <param name="BytesRemaining">What those that are not over have still to bring in, as far as it is known.</param>
/// <param name="BytesPerSecond">What they bring in together.</param>
/// <param name="EtaSeconds">Seconds until all of that is in, at the present rate of all; null where nothing moves or nothing is left.</param>
/// <param name="Hosts">The same of each host that has any, by name.</param>
public sealed record StreamSummaryView(
    int Streams, StateCountsView States, int Attention, long BytesRemaining, long BytesPerSecond, double? EtaSeconds, IReadOnlyList<HostSummaryView> Hosts)
{
    public static StreamSummaryView From(IReadOnlyList<StreamSum> sums, int attention)
    {
        var all = HostSummaryView.From("", sums);
        return new(all.Streams, all.States, attention, all.BytesRemaining, all.BytesPerSecond, all.EtaSeconds,
            [.. sums.GroupBy(sum => sum.Host).OrderBy(host => host.Key, StringComparer.Ordinal).Select(host => HostSummaryView.From(host.Key, [.. host]))]);
    }
}

/// <summary>What the streams of one host add up to.</summary>
public sealed record HostSummaryView(string Host, int Streams, StateCountsView States, long BytesRemaining, long BytesPerSecond, double? EtaSeconds)
{
    internal static HostSummaryView From(string host, IReadOnlyList<StreamSum> sums)
    {
        var (remaining, rate) = (sums.Sum(sum => sum.BytesRemaining), sums.Sum(sum => sum.BytesPerSecond));
        return new(host, sums.Sum(sum => sum.Streams), StateCountsView.From(sums), remaining, rate,
            rate > 0 && remaining > 0 ? Math.Round((double)remaining / rate, 1) : null);
    }
}

/// <summary>How many streams are in each state.</summary>
public sealed record StateCountsView(int Queued, int Running, int Paused, int Waiting, int Finalizing, int Completed, int Failed, int Cancelled)
{
    internal static StateCountsView From(IReadOnlyList<StreamSum> sums)
    {
        return new(Of(StreamState.Queued), Of(StreamState.Running), Of(StreamState.Paused), Of(StreamState.Waiting), Of(StreamState.Finalizing),
            Of(StreamState.Completed), Of(StreamState.Failed), Of(StreamState.Cancelled));

        int Of(StreamState state) => sums.Where(sum => sum.State == state).Sum(sum => sum.Streams);
    }
}
