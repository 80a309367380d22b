namespace StreamService.Client;

/// <summary>Which streams a list is about; members left out do not restrict.</summary>
public sealed record StreamFilter
{
    /// <summary>Any of these.</summary>
    public IReadOnlyList<StreamState> States { get; init; } = [];

    /// <summary>The configured name of a host.</summary>
    public string? Host { get; init; }

    /// <summary>A domain's UUID, also of one that is gone, or its name where one host only has it.</summary>
    public string? Domain { get; init; }

    /// <summary>Words, each of which must be part of the domain's name, the disk's target or the host's name, in whatever case; or an id of a stream or a domain.</summary>
    public string? Search { get; init; }

    /// <summary>Only the newest stream of each disk.</summary>
    public bool LatestOnly { get; init; }
}

/// <summary>What a list of streams is sorted by.</summary>
public enum StreamSort
{
    Unknown,

    /// <summary>When it was begun.</summary>
    Created,

    /// <summary>When it last changed.</summary>
    Updated,

    /// <summary>The domain's name.</summary>
    Name,

    /// <summary>The host's name.</summary>
    Host,

    /// <summary>Bytes per second.</summary>
    Rate,

    /// <summary>The time to its end; those that cannot tell it come last.</summary>
    Eta,

    /// <summary>Bytes that are still only in the backing chain.</summary>
    Remaining,
}

/// <summary>Up or down.</summary>
public enum SortDirection
{
    Unknown,
    Asc,
    Desc,
}

/// <summary>What some streams add up to.</summary>
public abstract record StreamTotals : ApiRecord
{
    /// <summary>How many there are.</summary>
    public int Streams { get; init; }

    /// <summary>How many of them are in each state.</summary>
    public StateCounts States { get; init; } = new();

    /// <summary>What those that are not over have still to bring in, as far as it is known.</summary>
    public long BytesRemaining { get; init; }

    /// <summary>What they bring in together.</summary>
    public long BytesPerSecond { get; init; }

    /// <summary>Seconds until all of that is in, at the present rate; null where nothing moves or nothing is left.</summary>
    public double? EtaSeconds { get; init; }
}

/// <summary>What all streams that were asked for add up to.</summary>
public sealed record StreamSummary : StreamTotals
{
    /// <summary>How many wait for something, or failed with nothing done about their disk since.</summary>
    public int Attention { get; init; }

    /// <summary>The same of each host that has any, by name.</summary>
    public IReadOnlyList<HostSummary> Hosts { get; init; } = [];
}

/// <summary>What the streams of one host add up to.</summary>
public sealed record HostSummary : StreamTotals
{
    /// <summary>The host's configured name.</summary>
    public string Host { get; init; } = "";
}

/// <summary>How many streams are in each state.</summary>
public sealed record StateCounts : ApiRecord
{
    public int Queued { get; init; }

    public int Running { get; init; }

    public int Paused { get; init; }

    public int Waiting { get; init; }

    public int Finalizing { get; init; }

    public int Completed { get; init; }

    public int Failed { get; init; }

    public int Cancelled { get; init; }
}
