using System.Text;

namespace StreamService.Deployment.Images;

/// <summary>An image as callers name it: <c>repository/name</c>.</summary>
/// <param name="Repository">The configured name of its repository.</param>
/// <param name="Name">Its own name there, by <see cref="IsValid"/>.</param>
public readonly record struct ImageName(string Repository, string Name)
{
    /// <summary>NAME_MAX of Linux, in bytes of UTF-8.</summary>
    private const int LongestName = 255;

    private const int LongestRepository = 64;

    /// <summary>
    /// Whether a text can be an image's name: one segment that means the same in a path, a URL, an export's name and a
    /// backing link, of which nothing can be an option, an escape or a way out.
    /// </summary>
    public static bool IsValid(string name) =>
        name.Length is > 0 and <= LongestName
        && Encoding.UTF8.GetByteCount(name) <= LongestName
        && name[0] is not ('.' or '-' or ' ')
        && name[^1] != ' '
        && name.EnumerateRunes().All(IsAllowed);

    /// <summary>Whether a text can be a repository's name.</summary>
    public static bool IsRepository(string name) =>
        name.Length is > 0 and <= LongestRepository && name[0] != '.' && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    /// <summary>Reads <c>repository/name</c>.</summary>
    public static bool TryParse(string text, out ImageName image)
    {
        var slash = text.IndexOf('/', StringComparison.Ordinal);
        image = slash < 0 ? default : new ImageName(text[..slash], text[(slash + 1)..]);
        return slash >= 0 && IsRepository(image.Repository) && IsValid(image.Name);
    }

    public override string ToString() => $"{Repository}/{Name}";

    /// <summary>Half a surrogate pair is read as U+FFFD, which is no letter.</summary>
    private static bool IsAllowed(Rune rune) => Rune.IsLetterOrDigit(rune) || rune.Value is '.' or '_' or '-' or '+' or '@' or '~' or '=' or ' ';
}
