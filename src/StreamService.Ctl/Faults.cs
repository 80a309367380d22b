using System.Globalization;
using StreamService.Client;

namespace StreamService.Ctl;

/// <summary>What went wrong, in words on the standard error and as an exit code.</summary>
internal static class Faults
{
    /// <returns>The exit code; null for a bug of ours.</returns>
    public static int? TryTell(Exception fault, Output output, bool interrupted)
    {
        switch (fault)
        {
            case StreamServiceException refused:
                Tell(refused, output);
                return ExitCodes.Of(refused);
            case OperationCanceledException when interrupted:
                return ExitCodes.Interrupted;
            case HttpRequestException unreachable:
                output.Error(Text(unreachable));
                return ExitCodes.Unreachable;
            case FormatException or UsageException or ArgumentException:
                output.Error(fault.Message);
                return ExitCodes.Usage;
            case IOException or UnauthorizedAccessException:
                output.Error(fault.Message);
                return ExitCodes.Failed;
            default:
                return null;
        }
    }

    private static void Tell(StreamServiceException refused, Output output)
    {
        output.Error($"{(refused.Code.Length > 0 ? refused.Code : ((int)refused.Status).ToString(CultureInfo.InvariantCulture))}: {(refused.Errors.Count > 0 && refused.Problem.Title.Length > 0 ? refused.Problem.Title : refused.Message)}");
        foreach (var (member, faults) in refused.Errors)
            foreach (var text in faults)
                output.ErrorDetail(member.Length > 0 ? $"{member}: {text}" : text);
        if (refused.Problem.ErrorClass is { } errorClass)
            output.ErrorDetail($"error class: {errorClass}");
        if (refused.RetryAfter is { } wait)
            output.ErrorDetail(string.Create(CultureInfo.InvariantCulture, $"try again in {Math.Ceiling(wait.TotalSeconds)} s"));
    }

    /// <summary>The outermost text seldom tells what is wrong; the innermost alone does not tell where.</summary>
    private static string Text(HttpRequestException unreachable) =>
        unreachable.InnerException is { } inner && !unreachable.Message.Contains(inner.GetBaseException().Message, StringComparison.Ordinal)
            ? $"{unreachable.Message} {inner.GetBaseException().Message}"
            : unreachable.Message;
}
