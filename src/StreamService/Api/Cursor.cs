using System.Buffers.Text;
using System.Text;

namespace StreamService.Api;

/// <summary>Where a page ended, in a form that callers hand back but need not read.</summary>
internal static class Cursor
{
    private const char Separator = '\n';

    public static string Write(params string[] parts) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(string.Join(Separator, parts)));

    /// <summary>The parts that <see cref="Write"/> was given; null for no cursor.</summary>
    /// <exception cref="InvalidRequestException">It is not a cursor of this list.</exception>
    public static string[]? Read(string? cursor, int parts)
    {
        if (string.IsNullOrEmpty(cursor))
            return null;
        try
        {
            var read = Encoding.UTF8.GetString(Base64Url.DecodeFromChars(cursor)).Split(Separator);
            if (read.Length == parts)
                return read;
        }
        catch (FormatException)
        {
        }
        throw Invalid();
    }

    public static InvalidRequestException Invalid() => new("cursor", "is not a cursor that this list gave out.");
}

/// <summary>The order of lists whose cursor is a key of several parts.</summary>
internal sealed class OrdinalKeys : IComparer<string[]>
{
    public static readonly OrdinalKeys Comparer = new();

    public int Compare(string[]? left, string[]? right) => left!.Zip(right!, string.CompareOrdinal).FirstOrDefault(order => order != 0);
}
