using System.Globalization;
using System.Text.RegularExpressions;

namespace StreamService.Benchmarks;

/// <summary>A read of the base, as nbdkit's log filter wrote it down when it arrived.</summary>
internal readonly partial record struct SourceRequest(DateTimeOffset At, long Bytes)
{
    /// <summary>The requests since a moment, in the order of their arrival.</summary>
    public static IReadOnlyList<SourceRequest> Read(string log, DateTimeOffset from)
    {
        var requests = new List<SourceRequest>();
        // nbdkit holds the file open for writing.
        using var reader = new StreamReader(new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        while (reader.ReadLine() is { } line)
            if (Line().Match(line) is { Success: true } match)
            {
                var at = DateTimeOffset.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture, DateTimeStyles.AssumeLocal);
                if (at >= from)
                    requests.Add(new SourceRequest(at, Convert.ToInt64(match.Groups[2].Value, 16)));
            }
        return requests;
    }

    /// <summary>The most bytes asked for in any window of that length.</summary>
    public static long MostWithin(IReadOnlyList<SourceRequest> requests, TimeSpan window)
    {
        long most = 0, within = 0;
        for (int first = 0, next = 0; next < requests.Count; next++)
        {
            within += requests[next].Bytes;
            for (; requests[next].At - requests[first].At >= window; first++)
                within -= requests[first].Bytes;
            most = Math.Max(most, within);
        }
        return most;
    }

    /// <summary>When the last request came before the first pause of that length.</summary>
    public static DateTimeOffset LastBeforeLull(IReadOnlyList<SourceRequest> requests, TimeSpan lull)
    {
        for (var i = 1; i < requests.Count; i++)
            if (requests[i].At - requests[i - 1].At >= lull)
                return requests[i - 1].At;
        return requests[^1].At;
    }

    [GeneratedRegex(@"^(\S+ \S+) connection=\d+ Read id=\d+ offset=0x[0-9a-f]+ count=0x([0-9a-f]+) ", RegexOptions.CultureInvariant)]
    private static partial Regex Line();
}
