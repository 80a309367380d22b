using System.Buffers.Text;
using System.ComponentModel.DataAnnotations;
using System.Text;

namespace StreamService.Api;

/// <summary>Where a page ended, in a form that callers hand back but need not read.</summary>
internal static class Cursor
{
    internal const string Fault = "is not a cursor that this list gave out.";

    private const char Separator = '\n';

    public static string Write(params string[] parts) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(string.Join(Separator, parts)));

    /// <summary>The parts that <see cref="Write"/> was given; null for no cursor.</summary>
    /// <exception cref="InvalidRequestException">It is not a cursor of this list.</exception>
    public static string[]? Read(string? cursor, int parts) => TryRead(cursor, parts, out var read) ? read : throw Invalid();

    /// <inheritdoc cref="Read"/>
    /// <returns>Whether it is a cursor of so many parts, or none.</returns>
    public static bool TryRead(string? cursor, int parts, out string[]? read)
    {
        read = null;
        if (string.IsNullOrEmpty(cursor))
            return true;
        try
        {
            read = Encoding.UTF8.GetString(Base64Url.DecodeFromChars(cursor)).Split(Separator);
            return read.Length == parts;
        }
        catch (FormatException)
        {
            return false;
        }
    }

    public static InvalidRequestException Invalid() => new("cursor", Fault);
}

/// <summary>Refuses what cannot be a cursor of this list together with the request's other faults; what only the list can tell, it tells itself.</summary>
[AttributeUsage(AttributeTargets.Parameter)]
internal sealed class CursorAttribute(int parts) : ValidationAttribute(Cursor.Fault)
{
    public override bool IsValid(object? value) => Cursor.TryRead((string?)value, parts, out _);
}

/// <summary>The order of lists whose cursor is a key of several parts.</summary>
internal sealed class OrdinalKeys : IComparer<string[]>
{
    public static readonly OrdinalKeys Comparer = new();

    public int Compare(string[]? left, string[]? right) => left!.Zip(right!, string.CompareOrdinal).FirstOrDefault(order => order != 0);
}
