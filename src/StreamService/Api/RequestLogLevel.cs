using Serilog.Events;

namespace StreamService.Api;

/// <summary>How loud a request is in the log.</summary>
internal static class RequestLogLevel
{
    /// <summary>Faults of ours are errors, changes are news, and reads and single steps, which come by the thousand, are details.</summary>
    public static LogEventLevel Of(HttpContext context, double elapsed, Exception? exception) =>
        exception is not null || context.Response.StatusCode >= 500 ? LogEventLevel.Error
        : HttpMethods.IsGet(context.Request.Method) || IsStep(context) ? LogEventLevel.Debug
        : LogEventLevel.Information;

    /// <summary>Of all POSTs only a single step answers 200: the others make something, or are refused.</summary>
    private static bool IsStep(HttpContext context) =>
        HttpMethods.IsPost(context.Request.Method) && context.Response.StatusCode == StatusCodes.Status200OK;
}
