using Serilog.Events;

namespace StreamService.Api;

/// <summary>How loud a request is in the log.</summary>
internal static class RequestLogLevel
{
    /// <summary>Faults of ours are errors, changes are news, and reads, which come by the thousand, are details.</summary>
    public static LogEventLevel Of(HttpContext context, double elapsed, Exception? exception) =>
        exception is not null || context.Response.StatusCode >= 500 ? LogEventLevel.Error
        : HttpMethods.IsGet(context.Request.Method) ? LogEventLevel.Debug
        : LogEventLevel.Information;
}
