using Serilog.Events;

namespace StreamService.Api;

/// <summary>How loud a request is in the log.</summary>
internal static class RequestLogLevel
{
    /// <summary>Faults of ours are errors. All else is detail: changes are in the audit log.</summary>
    public static LogEventLevel Of(HttpContext context, double elapsed, Exception? exception) =>
        exception is not null || context.Response.StatusCode >= 500 ? LogEventLevel.Error : LogEventLevel.Debug;
}
