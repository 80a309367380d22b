using System.Data.Common;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using StreamService.Deployment;
using StreamService.Deployment.Images;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Qemu.Nbd;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;

namespace StreamService.Api;

/// <summary>
/// The one table from errors to HTTP: 4xx is the caller's, 500 a bug of ours, 502 and 503 a dependency. Every answer is a
/// problem document (RFC 9457) whose type is a stable URI that ends in the code, and whose <c>code</c> holds it.
/// </summary>
public static class StreamProblems
{
    /// <summary>The member that tells where the stream that is in the way can be watched.</summary>
    private const string StatusUrl = "statusUrl";

    /// <summary>When a caller should try a host or repository again, in seconds.</summary>
    private const int RetryAfterSeconds = 5;

    /// <summary>The problem of a request that is at fault by itself.</summary>
    /// <param name="errors">Every fault, by the member that has it.</param>
    public static ProblemDetails InvalidRequest(IReadOnlyDictionary<string, string[]> errors)
    {
        var problem = Problem("invalid-request", StatusCodes.Status400BadRequest, "The request is not valid.",
            string.Join(" ", errors.SelectMany(error => error.Value.Select(fault => error.Key.Length == 0 ? fault : $"{error.Key}: {fault}"))));
        problem.Extensions["errors"] = errors;
        return problem;
    }

    /// <summary>The problem that an exception stands for; null for one that is a bug.</summary>
    public static ProblemDetails? From(Exception exception) => exception switch
    {
        UnauthorizedException => Problem("unauthorized", 401, "Nobody is signed in.", exception.Message),
        ForbiddenException => Problem("forbidden", 403, "The caller may not do that.", exception.Message),
        TooManyRequestsException => Problem("too-many-requests", 429, "The caller asks too much.", exception.Message),
        InvalidRequestException invalid => InvalidRequest(invalid.Errors),
        IdempotencyConflictException => Problem("idempotency-conflict", 409, "The key was used for another request.", exception.Message),
        BadHttpRequestException bad => WithStatus(InvalidRequest(new Dictionary<string, string[]> { [""] = [bad.Message] }), bad.StatusCode),
        DomainNotFoundException => Problem("domain-not-found", 404, "There is no such domain.", exception.Message),
        DiskNotFoundException => Problem("disk-not-found", 404, "The domain has no such disk.", exception.Message),
        StreamNotFoundException => Problem("stream-not-found", 404, "There is no such stream.", exception.Message),
        HostNotFoundException => Problem("host-not-found", 404, "There is no such host.", exception.Message),
        BudgetNotFoundException => Problem("budget-not-found", 404, "There is no such budget.", exception.Message),
        BudgetConfiguredException => Problem("budget-configured", 409, "The budget is defined in the configuration.", exception.Message),
        ImageNotFoundException => Problem("image-not-found", 404, "There is no such image.", exception.Message),
        ImageRefusedException => Problem("image-refused", 409, "The image cannot be used.", exception.Message),
        AmbiguousDomainException => Problem("ambiguous-domain", 409, "The domain's name is not unique.", exception.Message),
        DomainNotRunningException => Problem("domain-not-running", 409, "The domain is not running.", exception.Message),
        BaseLostException => Problem("base-not-in-chain", 409, "The base is not in the backing chain.", exception.Message),
        StreamRefusedException refused => Refused(refused),
        ProfileNotFoundException => Problem("profile-not-found", 404, "The image has no profile.", exception.Message),
        InvalidTemplateException template => InvalidRequest(new Dictionary<string, string[]> { ["domainXml"] = [.. template.Faults] }),
        DeploymentRefusedException refused => Refused(refused),
        MigrationNotFoundException => Problem("migration-not-found", 404, "There is no such migration.", exception.Message),
        MigrationRefusedException refused => Refused(refused),
        MigrationActiveException active => Active(active),
        MigrationPastException => Problem("migration-past", 409, "The migration is past that point.", exception.Message),
        HypervisorException refused => HypervisorError(refused.ErrorClass, refused.Text),
        NbdCommandException refused => HypervisorError(refused.Error.ToString(), refused.Message),
        NbdException broken => HypervisorError("NbdConnection", broken.Message),
        LeaseLostException lost => Problem("host-unreachable", 503, "The host cannot be reached.", lost.Message),
        HostUnreachableException unreachable => Problem("host-unreachable", 503, "The host cannot be reached.", unreachable.Message),
        DbException or DbUpdateException => Problem("storage-unavailable", 503, "The records cannot be read or written.",
            $"The service's database refused: {exception.GetBaseException().Message} Nothing was begun."),
        RepositoryUnreachableException unreachable => Problem("image-repository-unreachable", 503, "The image repository cannot be reached.", unreachable.Message),
        _ => null,
    };

    /// <summary>Writes an exception's problem as the response; leaves bugs to the framework's 500.</summary>
    public static async ValueTask<bool> WriteAsync(HttpContext context, Exception exception, IProblemDetailsService writer)
    {
        if (From(exception) is not { } problem)
            return false;
        context.Response.StatusCode = problem.Status!.Value;
        if (problem.Extensions.TryGetValue(StatusUrl, out var url))
            context.Response.Headers.Location = (string?)url;
        if (problem.Status == StatusCodes.Status401Unauthorized)
            context.Response.Headers.WWWAuthenticate = "Bearer";
        if (exception is TooManyRequestsException { RetryAfter: var after })
            context.Response.Headers.RetryAfter = Math.Max(1, (int)Math.Ceiling(after.TotalSeconds)).ToString(System.Globalization.CultureInfo.InvariantCulture);
        if (problem.Status == StatusCodes.Status503ServiceUnavailable)
            context.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        return await writer.TryWriteAsync(new ProblemDetailsContext { HttpContext = context, ProblemDetails = problem, Exception = exception });
    }

    /// <summary>Gives the framework's own problems (no such route, wrong method, wrong media type, a bug) a code like all others.</summary>
    public static void NameFrameworkProblem(ProblemDetailsContext context)
    {
        var problem = context.ProblemDetails;
        if (problem.Extensions.TryGetValue("code", out var known))
        {
            Audit.SetCode(context.HttpContext, (string)known!);
            return;
        }
        var code = problem.Status switch
        {
            StatusCodes.Status401Unauthorized => "unauthorized",
            StatusCodes.Status403Forbidden => "forbidden",
            StatusCodes.Status404NotFound => "not-found",
            StatusCodes.Status405MethodNotAllowed => "method-not-allowed",
            StatusCodes.Status406NotAcceptable => "not-acceptable",
            StatusCodes.Status413PayloadTooLarge or StatusCodes.Status415UnsupportedMediaType or StatusCodes.Status400BadRequest => "invalid-request",
            _ => "internal-error",
        };
        problem.Type = StreamProblem.TypePrefix + code;
        problem.Detail ??= code switch
        {
            "not-found" => "There is nothing at this address.",
            "method-not-allowed" => $"This address does not take {context.HttpContext.Request.Method}.",
            "internal-error" => "A fault of the service. Its log says more, under this trace id.",
            _ when problem.Status == StatusCodes.Status415UnsupportedMediaType => "The body must be application/json in UTF-8.",
            _ => problem.Title,
        };
        problem.Extensions["code"] = code;
        Audit.SetCode(context.HttpContext, code);
    }

    private static ProblemDetails Refused(StreamRefusedException refused)
    {
        var (code, title) = refused.Refusal switch
        {
            StreamRefusal.StreamActive => ("stream-active", "The disk is being streamed already."),
            StreamRefusal.DomainNotRunning => ("domain-not-running", "The domain is not running."),
            StreamRefusal.DiskReadOnly => ("disk-read-only", "The disk is read-only."),
            StreamRefusal.NoBackingImage => ("no-backing-image", "The disk has no backing image."),
            StreamRefusal.BaseNotInChain => ("base-not-in-chain", "The base is not in the backing chain."),
            StreamRefusal.BlockJobActive => ("block-job-active", "A block job is at work on the disk."),
            _ => throw new ArgumentOutOfRangeException(nameof(refused), refused.Refusal, "A refusal without a problem."),
        };
        var problem = Problem(code, StatusCodes.Status409Conflict, title, refused.Message);
        if (refused.Refusal == StreamRefusal.StreamActive)
            problem.Extensions[StatusUrl] = DiskPath.StatusUrl(refused.Disk);
        return problem;
    }

    private static ProblemDetails Refused(DeploymentRefusedException refused) => refused.Refusal switch
    {
        DeploymentRefusal.DomainExists => Problem("domain-exists", 409, "The host has a domain of that name.", refused.Message),
        DeploymentRefusal.NotDeployed => Problem("domain-not-deployed", 409, "The domain was not deployed by this service.", refused.Message),
        DeploymentRefusal.InsufficientStorage => Problem("insufficient-storage", 507, "There is no room for the disk.", refused.Message),
        DeploymentRefusal.HostNotSuitable => InvalidRequest(new Dictionary<string, string[]> { ["host"] = [refused.Message] }),
        DeploymentRefusal.SizeTooSmall => InvalidRequest(new Dictionary<string, string[]> { ["size"] = [refused.Message] }),
        _ => throw new ArgumentOutOfRangeException(nameof(refused), refused.Refusal, "A refusal without a problem."),
    };

    private static ProblemDetails Refused(MigrationRefusedException refused)
    {
        var problem = Problem("migration-refused", StatusCodes.Status409Conflict, "The domain cannot migrate.", refused.Message);
        problem.Extensions["errors"] = refused.Faults;
        return problem;
    }

    private static ProblemDetails Active(MigrationActiveException active)
    {
        var problem = Problem("migration-active", StatusCodes.Status409Conflict, "The domain is being migrated.", active.Message);
        problem.Extensions[StatusUrl] = $"/migrations/{active.MigrationId}";
        return problem;
    }

    private static ProblemDetails HypervisorError(string errorClass, string text)
    {
        var problem = Problem("hypervisor-error", StatusCodes.Status502BadGateway, "The hypervisor refused.", text);
        problem.Extensions["errorClass"] = errorClass;
        return problem;
    }

    private static ProblemDetails Problem(string code, int status, string title, string detail) => new()
    {
        Type = StreamProblem.TypePrefix + code,
        Status = status,
        Title = title,
        Detail = detail,
        Extensions = { ["code"] = code },
    };

    private static ProblemDetails WithStatus(ProblemDetails problem, int status)
    {
        problem.Status = status;
        return problem;
    }
}

/// <summary>Hands every exception of a request to <see cref="StreamProblems"/>.</summary>
public sealed class StreamProblemHandler(IProblemDetailsService writer) : IExceptionHandler
{
    public ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken) =>
        StreamProblems.WriteAsync(httpContext, exception, writer);
}

/// <summary>The request is at fault by itself; all its faults are listed.</summary>
public sealed class InvalidRequestException(IReadOnlyDictionary<string, string[]> errors) : Exception("The request is not valid.")
{
    /// <summary>One fault.</summary>
    public InvalidRequestException(string member, string fault) : this(new Dictionary<string, string[]> { [member] = [fault] })
    {
    }

    /// <summary>Every fault, by the member that has it.</summary>
    public IReadOnlyDictionary<string, string[]> Errors { get; } = errors;
}

/// <summary>An Idempotency-Key was used again, for another request.</summary>
public sealed class IdempotencyConflictException(string key) : Exception($"Idempotency-Key '{key}' was used for a different request.");
