using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;
using StreamService.Configuration;

namespace StreamService.Security;

/// <summary>The configured API keys.</summary>
/// <remarks>Keys are 256 random bits, so a plain SHA-256 of them can be neither guessed nor searched; nothing slower is needed.</remarks>
public sealed class ApiKeys(IOptions<StreamServiceOptions> options)
{
    /// <summary>Keys begin with it: a bearer token that does is one of ours.</summary>
    public const string Prefix = "ssk_";

    private const string Algorithm = "sha256:";

    private readonly (byte[] Hash, Caller Caller)[] _keys =
    [
        .. options.Value.Auth.ApiKeys.Select(key => (HashOf(key.Hash)!, new Caller(key.Name, [.. key.Scopes], [.. key.Hosts], [.. key.Labels]))),
    ];

    /// <summary>Who has the key; null for none of ours.</summary>
    public (Caller Caller, string Hash)? Find(string key)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(key));
        (Caller, string)? found = null;
        // All are compared, so that the time tells nothing of which one it was.
        foreach (var (known, caller) in _keys)
            if (CryptographicOperations.FixedTimeEquals(known, hash))
                found = (caller, Convert.ToHexStringLower(known));
        return found;
    }

    /// <summary>Who has the key with that hash now: a session's key may have been taken away, or given other scopes.</summary>
    public Caller? FindByHash(string hash) =>
        _keys.Where(key => Convert.ToHexStringLower(key.Hash) == hash).Select(key => key.Caller).FirstOrDefault();

    /// <summary>The bytes of a hash as the configuration has it; null where it is none.</summary>
    internal static byte[]? HashOf(string text)
    {
        if (!text.StartsWith(Algorithm, StringComparison.Ordinal) || text.Length != Algorithm.Length + (2 * SHA256.HashSizeInBytes))
            return null;
        var digits = text[Algorithm.Length..];
        return digits.All(char.IsAsciiHexDigit) ? Convert.FromHexString(digits) : null;
    }
}
