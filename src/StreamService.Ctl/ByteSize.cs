using System.Globalization;

namespace StreamService.Ctl;

/// <summary>Bytes as people write them, by libvirt's rule: K, M, G, T and KiB, MiB, … count in 1024, KB, MB, … in 1000.</summary>
internal static class ByteSize
{
    private const string Units = "KMGTPE";

    /// <summary>What takes a size, for messages.</summary>
    public const string Form = "a size like 65536, 512KiB, 50MiB or 1.5GiB";

    /// <exception cref="FormatException">It is none, or not a whole number of bytes.</exception>
    public static long Parse(string text)
    {
        var trimmed = text.Trim();
        var digits = trimmed.AsSpan().TrimEnd("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ").TrimEnd();
        if (!decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) || Factor(trimmed[digits.Length..].Trim()) is not { } factor)
            throw new FormatException($"'{text}' is not {Form}.");
        try
        {
            var bytes = number * factor;
            return bytes == decimal.Truncate(bytes) ? (long)bytes : throw new FormatException($"'{text}' is not a whole number of bytes.");
        }
        catch (OverflowException)
        {
            throw new FormatException($"'{text}' is more bytes than there are.");
        }
    }

    /// <summary>Bytes a second: a size, with or without <c>/s</c>; <c>unlimited</c> is 0.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static long ParseRate(string text) =>
        text.Equals("unlimited", StringComparison.OrdinalIgnoreCase) ? 0
        : Parse(text.EndsWith("/s", StringComparison.OrdinalIgnoreCase) ? text[..^2] : text);

    /// <summary>In the largest binary unit that leaves a whole part, to three digits: <c>1.5 GiB</c>.</summary>
    public static string Format(long bytes)
    {
        double value = bytes;
        var unit = -1;
        // 1023.9 of a unit would be shown as 1024 of it.
        while (Math.Abs(value) >= 999.5 && unit < Units.Length - 1)
            (value, unit) = (value / 1024, unit + 1);
        if (unit < 0)
            return string.Create(CultureInfo.InvariantCulture, $"{bytes} B");
        var decimals = Math.Abs(value) < 9.995 ? "0.0#" : Math.Abs(value) < 99.95 ? "0.#" : "0";
        return string.Create(CultureInfo.InvariantCulture, $"{value.ToString(decimals, CultureInfo.InvariantCulture)} {Units[unit]}iB");
    }

    public static string FormatRate(long bytesPerSecond) => $"{Format(bytesPerSecond)}/s";

    /// <summary>A limit, where 0 is none.</summary>
    public static string FormatLimit(long bytesPerSecond) => bytesPerSecond == 0 ? "unlimited" : FormatRate(bytesPerSecond);

    private static decimal? Factor(string unit)
    {
        if (unit.Length == 0 || unit is "B" or "b")
            return 1;
        var power = Units.IndexOf(char.ToUpperInvariant(unit[0]), StringComparison.Ordinal) + 1;
        if (power == 0)
            return null;
        return unit[1..] switch
        {
            "" => Power(1024, power),
            var suffix when suffix.Equals("iB", StringComparison.OrdinalIgnoreCase) => Power(1024, power),
            var suffix when suffix.Equals("B", StringComparison.OrdinalIgnoreCase) => Power(1000, power),
            _ => null,
        };
    }

    private static decimal Power(decimal unit, int power) => power == 1 ? unit : unit * Power(unit, power - 1);
}
