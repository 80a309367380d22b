namespace StreamService.Deployment;

/// <summary>What a deployed domain may be called. Narrower than libvirt's own rule: the name becomes part of a file name too.</summary>
public static class DomainName
{
    public const int MaxLength = 64;

    /// <summary>The rule, as the end of a sentence that begins with the member's name.</summary>
    public const string Rule = "must be 1 to 64 ASCII letters, digits, '-', '_' or '.', and begin with a letter or digit.";

    public static bool IsValid(string name) =>
        name.Length is > 0 and <= MaxLength
        && char.IsAsciiLetterOrDigit(name[0])
        && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');
}
