namespace StreamService.Streaming;

/// <summary>What QEMU's drivers can take of a stream.</summary>
internal static class SourceLimits
{
    /// <summary>Requests that may be in flight at once to a disk with these images below it, by their paths or URIs.</summary>
    /// <remarks>
    /// QEMU's HTTP driver leaves requests without an answer for ever once it has several: of runs of <c>qemu-img bench -d 2</c> on a
    /// web server's file two in five hung, of those with <c>-d 1</c> none (QEMU 7.2 with libcurl 7.88).
    /// </remarks>
    public static int InFlight(IEnumerable<string> sources) =>
        sources.Any(source => source.StartsWith("http://", StringComparison.OrdinalIgnoreCase) || source.StartsWith("https://", StringComparison.OrdinalIgnoreCase))
            ? 1
            : int.MaxValue;
}
