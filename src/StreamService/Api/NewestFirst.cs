using System.Globalization;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>Pages of records, the newest first.</summary>
internal static class NewestFirst
{
    /// <summary>Time and id.</summary>
    public const int CursorParts = 2;

    /// <summary>Reads one page.</summary>
    /// <param name="sees">Whether a record exists for the caller.</param>
    /// <param name="list">Lists at most so many records after a position.</param>
    /// <param name="positionOf">Where a record stands.</param>
    /// <param name="view">What callers see of it.</param>
    /// <exception cref="InvalidRequestException">The cursor is none of ours.</exception>
    public static async Task<Page<TView>> ReadAsync<TRecord, TView>(
        string? cursor, int limit, Func<TRecord, bool> sees, Func<PagePosition?, int, Task<IReadOnlyList<TRecord>>> list, Func<TRecord, PagePosition> positionOf, Func<TRecord, TView> view)
    {
        var records = new List<TRecord>();
        for (var after = Position(cursor); records.Count <= limit;)
        {
            var read = await list(after, limit + 1);
            records.AddRange(read.Where(sees));
            if (read.Count <= limit)
                break;
            after = positionOf(read[^1]);
        }
        var last = records.Count > limit ? positionOf(records[limit - 1]) : null;
        return new Page<TView>(
            [.. records.Take(limit).Select(view)],
            last is null ? null : Cursor.Write(last.CreatedAt.UtcTicks.ToString(CultureInfo.InvariantCulture), last.Id.ToString()));
    }

    private static PagePosition? Position(string? cursor)
    {
        if (Cursor.Read(cursor, CursorParts) is not { } parts)
            return null;
        return long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var ticks)
            && ticks <= DateTimeOffset.MaxValue.UtcTicks && Guid.TryParse(parts[1], out var id)
            ? new PagePosition(new DateTimeOffset(ticks, TimeSpan.Zero), id)
            : throw Cursor.Invalid();
    }
}
