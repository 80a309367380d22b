using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using StreamService.Client.Json;

namespace StreamService.Client;

/// <summary>The service answered, and refused. A service that cannot be reached at all is an <see cref="HttpRequestException"/>.</summary>
public sealed class StreamServiceException : Exception
{
    /// <summary>As much of an answer that is no problem document is kept.</summary>
    private const int LongestForeignText = 500;

    /// <param name="status">Of the answer.</param>
    /// <param name="problem">Its body.</param>
    /// <param name="retryAfter">When to come back, where it says so.</param>
    public StreamServiceException(HttpStatusCode status, Problem problem, TimeSpan? retryAfter = null)
        : base(problem.Detail is { Length: > 0 } detail ? detail : problem.Title)
    {
        Status = status;
        Problem = problem;
        RetryAfter = retryAfter;
    }

    /// <summary>The problem's code, for example <c>stream-active</c>; one of those in the service's README. Empty where something between answered.</summary>
    public string Code => Problem.Code;

    /// <summary>The HTTP status.</summary>
    public HttpStatusCode Status { get; }

    /// <summary>The problem document.</summary>
    public Problem Problem { get; }

    /// <summary>Every fault of the request by the member that has it; empty where it is no <c>invalid-request</c> or <c>migration-refused</c>.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Errors => Problem.Errors;

    /// <summary>When asking again makes sense; null where the service did not say.</summary>
    public TimeSpan? RetryAfter { get; }

    internal static async Task<StreamServiceException> ReadAsync(HttpResponseMessage answer, TimeProvider time, CancellationToken cancellationToken)
    {
        var body = await answer.Content.ReadAsStringAsync(cancellationToken);
        return new StreamServiceException(answer.StatusCode, ReadProblem(answer, body), Wait(answer.Headers.RetryAfter, time));
    }

    private static Problem ReadProblem(HttpResponseMessage answer, string body)
    {
        try
        {
            if (JsonSerializer.Deserialize<Problem>(body, ApiJson.Options) is { Code.Length: > 0 } problem)
                return problem;
        }
        catch (JsonException)
        {
            // A proxy's page, for example.
        }
        return new Problem
        {
            Status = (int)answer.StatusCode,
            Title = $"The answer was {(int)answer.StatusCode} {answer.ReasonPhrase}, and not the service's own.",
            Detail = body.Length <= LongestForeignText ? body : body[..LongestForeignText],
        };
    }

    private static TimeSpan? Wait(RetryConditionHeaderValue? after, TimeProvider time) => after switch
    {
        { Delta: { } delta } => delta,
        { Date: { } date } => TimeSpan.FromTicks(Math.Max(0, (date - time.GetUtcNow()).Ticks)),
        _ => null,
    };
}
