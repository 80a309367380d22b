using System.Globalization;
using System.Linq.Expressions;
using System.Text.Json.Serialization;
using StreamService.Streaming;

namespace StreamService.Storage;

/// <summary>What a list of streams is sorted by.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StreamSort>))]
public enum StreamSort
{
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
[JsonConverter(typeof(CamelCaseEnumConverter<SortDirection>))]
public enum SortDirection
{
    Asc,
    Desc,
}

/// <summary>Which streams are asked for; null members do not restrict.</summary>
public sealed record StreamFilter(IReadOnlyCollection<StreamState>? States = null, string? Host = null, Guid? Domain = null)
{
    /// <summary>Words, each of which must be part of the domain's name, the target or the host, in whatever case, or the whole id of the stream or the domain.</summary>
    public string? Search { get; init; }

    /// <summary>Only the newest stream of each disk.</summary>
    public bool LatestOnly { get; init; }

    /// <summary>Only streams on one of these hosts.</summary>
    public IReadOnlyCollection<string>? Hosts { get; init; }

    /// <summary>Only streams of domains with one of these labels.</summary>
    public IReadOnlyCollection<string>? Labels { get; init; }

#pragma warning disable CA1862 // A database compares without case only so.
    internal IQueryable<StreamRecord> Apply(IQueryable<StreamRecord> all)
    {
        var query = all;
        if (States is { } states)
            query = query.Where(record => states.Contains(record.State));
        if (Host is { } host)
            query = query.Where(record => record.Host == host);
        if (Domain is { } domain)
            query = query.Where(record => record.Domain == domain);
        if (Hosts is { } hosts)
            query = query.Where(record => hosts.Contains(record.Host));
        if (Labels is { } labels)
        {
            // They are on record one a line.
            var lines = labels.Select(label => $"\n{label}\n").ToList();
            query = query.Where(record => lines.Any(line => ("\n" + record.Labels + "\n").Contains(line)));
        }
        foreach (var word in (Search ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var part = word.ToLowerInvariant();
            query = Guid.TryParse(word, out var id)
                ? query.Where(record => record.StreamId == id || record.Domain == id)
                : query.Where(record => record.DomainName.ToLower().Contains(part) || record.Target.ToLower().Contains(part) || record.Host.ToLower().Contains(part));
        }
        if (LatestOnly)
            query = query.Where(record => !all.Any(newer => newer.Host == record.Host && newer.Domain == record.Domain && newer.Target == record.Target && newer.CreatedAt > record.CreatedAt));
        return query;
    }
#pragma warning restore CA1862
}

/// <summary>Where a stream stands in a sorted list: its key as text, and its id among equal keys.</summary>
public sealed record StreamPosition(string Key, Guid Id);

/// <summary>A stream in a list, and where it stands in it: by what is on record, which the status itself may have left behind already.</summary>
public sealed record StreamListing(StreamStatus Status, StreamPosition Position);

/// <summary>How a list of streams is sorted. Among equal keys the ids decide, so that pages neither repeat nor skip a stream.</summary>
public abstract class StreamOrdering
{
    private static readonly Dictionary<(StreamSort, bool), StreamOrdering> All = Enum.GetValues<StreamSort>()
        .SelectMany(sort => new[] { (sort, false), (sort, true) })
        .ToDictionary(key => key, key => Make(key.sort, key.Item2));

    /// <summary>The newest first.</summary>
    public static StreamOrdering Newest { get; } = By(StreamSort.Created, SortDirection.Desc);

    /// <param name="direction">Null: names from the first letter, the soonest end first, all else from the newest or the largest.</param>
    public static StreamOrdering By(StreamSort sort, SortDirection? direction) =>
        All[(sort, direction is null ? sort is not (StreamSort.Name or StreamSort.Host or StreamSort.Eta) : direction == SortDirection.Desc)];

    /// <summary>Another one for each sort and direction.</summary>
    public required string Name { get; init; }

    /// <summary>Whether the text is a key of this ordering.</summary>
    public abstract bool IsKey(string key);

    internal abstract IQueryable<StreamRecord> Apply(IQueryable<StreamRecord> query, StreamPosition? after);

    internal abstract StreamPosition PositionOf(StreamRecord record);

    private static StreamOrdering Make(StreamSort sort, bool descending)
    {
        var name = $"{sort}{(descending ? "-desc" : "")}";
        // Who has no key comes last, whichever way the others go.
        return sort switch
        {
            StreamSort.Created => Time(record => record.CreatedAt),
            StreamSort.Updated => Time(record => record.UpdatedAt),
            StreamSort.Name => Text(record => record.DomainName),
            StreamSort.Host => Text(record => record.Host),
            StreamSort.Rate => Number(record => record.BytesPerSecond),
            StreamSort.Eta => descending ? Number(record => record.EtaSeconds ?? -1) : Number(record => record.EtaSeconds ?? long.MaxValue),
            StreamSort.Remaining => descending ? Number(record => record.BytesRemaining ?? -1) : Number(record => record.BytesRemaining ?? long.MaxValue),
            _ => throw new ArgumentOutOfRangeException(nameof(sort), sort, "A sort without a key."),
        };

        StreamOrdering Time(Expression<Func<StreamRecord, DateTimeOffset>> key) => new Ordering<DateTimeOffset>(key, descending,
            time => time.UtcTicks.ToString(CultureInfo.InvariantCulture),
            text => IsNumber(text, out var ticks) && ticks >= 0 && ticks <= DateTimeOffset.MaxValue.UtcTicks ? (true, new DateTimeOffset(ticks, TimeSpan.Zero)) : (false, default)) { Name = name };
        StreamOrdering Text(Expression<Func<StreamRecord, string>> key) => new Ordering<string>(key, descending, text => text, text => (true, text)) { Name = name };
        StreamOrdering Number(Expression<Func<StreamRecord, long>> key) => new Ordering<long>(key, descending,
            number => number.ToString(CultureInfo.InvariantCulture),
            text => IsNumber(text, out var number) ? (true, number) : (false, 0)) { Name = name };
    }

    private static bool IsNumber(string text, out long number) => long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number);

    private sealed class Ordering<TKey>(Expression<Func<StreamRecord, TKey>> key, bool descending, Func<TKey, string> write, Func<string, (bool Is, TKey Key)> read) : StreamOrdering
    {
        private readonly Func<StreamRecord, TKey> _keyOf = key.Compile();

        public override bool IsKey(string key) => read(key).Is;

        internal override StreamPosition PositionOf(StreamRecord record) => new(write(_keyOf(record)), record.StreamId);

        internal override IQueryable<StreamRecord> Apply(IQueryable<StreamRecord> query, StreamPosition? after)
        {
            if (after is not null)
                query = query.Where(Behind(read(after.Key).Key, after.Id));
            return descending
                ? query.OrderByDescending(key).ThenByDescending(record => record.StreamId)
                : query.OrderBy(key).ThenBy(record => record.StreamId);
        }

        /// <summary><c>key &lt;= last &amp;&amp; (key &lt; last || id &lt; lastId)</c>, or the other way round: in this form an index is entered where the page begins.</summary>
        private Expression<Func<StreamRecord, bool>> Behind(TKey last, Guid lastId)
        {
            // A member of a constant becomes a parameter of the query.
            var box = Expression.Constant(new Box(last, lastId));
            var lastKey = Expression.Field(box, nameof(Box.Key));
            var id = Expression.Property(key.Parameters[0], nameof(StreamRecord.StreamId));
            var zero = Expression.Constant(0);
            var compared = Expression.Call(id, typeof(Guid).GetMethod(nameof(Guid.CompareTo), [typeof(Guid)])!, Expression.Field(box, nameof(Box.Id)));
            var body = Expression.AndAlso(
                Compare(orEqual: true),
                Expression.OrElse(Compare(orEqual: false), descending ? Expression.LessThan(compared, zero) : Expression.GreaterThan(compared, zero)));
            return Expression.Lambda<Func<StreamRecord, bool>>(body, key.Parameters);

            BinaryExpression Compare(bool orEqual)
            {
                Expression left = key.Body, right = lastKey;
                // Texts have no operators of their own.
                if (typeof(TKey) == typeof(string))
                    (left, right) = (Expression.Call(typeof(string), nameof(string.Compare), null, left, right), zero);
                return (descending, orEqual) switch
                {
                    (true, true) => Expression.LessThanOrEqual(left, right),
                    (true, false) => Expression.LessThan(left, right),
                    (false, true) => Expression.GreaterThanOrEqual(left, right),
                    (false, false) => Expression.GreaterThan(left, right),
                };
            }
        }

        private sealed class Box(TKey key, Guid id)
        {
            public readonly TKey Key = key;
            public readonly Guid Id = id;
        }
    }
}
