using System.Globalization;

namespace StreamService.Tests.Fuzzing;

/// <summary>The seeds of a fuzz test: the usual ones, or <c>STREAMSERVICE_FUZZ_SEED</c> alone.</summary>
internal static class FuzzSeeds
{
    public static TheoryData<int> Or(params int[] usual) =>
        Environment.GetEnvironmentVariable("STREAMSERVICE_FUZZ_SEED") is { Length: > 0 } text ? [int.Parse(text, CultureInfo.InvariantCulture)] : [.. usual];
}
