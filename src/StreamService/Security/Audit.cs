using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.Filters;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.Extensions.Options;

namespace StreamService.Security;

/// <summary>A member of a request that the audit log leaves out: it is secret, or long.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class NotAuditedAttribute : Attribute;

/// <summary>Who changed what, when, and what came of it: one line for each request that is more than a look, refused ones included; single steps on level Debug.</summary>
internal sealed partial class Audit(ILoggerFactory loggers)
{
    /// <summary>The source of its lines in the log.</summary>
    public const string Source = "StreamService.Audit";

    private static readonly object Body = new();
    private static readonly object Code = new();

    private readonly ILogger _logger = loggers.CreateLogger(Source);

    /// <summary>Has the log tell what was asked for.</summary>
    public static void SetBody(HttpContext context, string json) => context.Items[Body] = json;

    /// <summary>Has the log tell why it was refused.</summary>
    public static void SetCode(HttpContext context, string code) => context.Items[Code] = code;

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        var request = context.Request;
        // As they came, percent-encoded: a path with a line break must not begin a line.
        var path = request.PathBase.ToUriComponent() + request.Path.ToUriComponent() + request.QueryString.ToUriComponent();
        try
        {
            await next(context);
        }
        finally
        {
            if (!HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method) && !HttpMethods.IsOptions(request.Method) && !IsHub(context))
                Write(context, path);
        }
    }

    private void Write(HttpContext context, string path)
    {
        var level = IsStep(context) ? LogLevel.Debug : LogLevel.Information;
        if (!_logger.IsEnabled(level))
            return;
        var caller = Caller.Of(context.User).Name;
        var address = context.Connection.RemoteIpAddress?.ToString() ?? "a local socket";
        var outcome = context.Items[Code] as string ?? context.Response.Headers.Location.ToString();
        Changed(_logger, level, caller, address, context.Request.Method, path, context.Items[Body] as string ?? "-", context.Response.StatusCode, outcome);
    }

    /// <summary>The hub's own traffic over HTTP: nothing is changed over it.</summary>
    private static bool IsHub(HttpContext context) => context.Request.Path.StartsWithSegments("/hubs", StringComparison.Ordinal);

    /// <summary>Single steps come by the thousand, and what they change no guest can see. Of all POSTs to a disk only these answer 200.</summary>
    private static bool IsStep(HttpContext context) =>
        HttpMethods.IsPost(context.Request.Method) && context.Response.StatusCode == StatusCodes.Status200OK
        && context.Request.Path.Value!.EndsWith("/stream", StringComparison.Ordinal);

    /// <param name="outcome">The problem's code, or where to find what was made.</param>
    [LoggerMessage(EventId = 601, Message = "{Caller} from {Address}: {Method} {Path} {Body} → {Status} {Outcome}")]
    private static partial void Changed(ILogger logger, LogLevel level, string caller, string address, string method, string path, string body, int status, string outcome);
}

/// <summary>Hands the body of a request, as it was understood, to the audit log.</summary>
internal sealed class AuditedBody(IOptions<JsonOptions> json) : IActionFilter
{
    private readonly JsonSerializerOptions _options = new(json.Value.JsonSerializerOptions)
    {
        DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull,
        WriteIndented = false,
        TypeInfoResolver = (json.Value.JsonSerializerOptions.TypeInfoResolver ?? new DefaultJsonTypeInfoResolver()).WithAddedModifier(type =>
        {
            for (var i = type.Properties.Count - 1; i >= 0; i--)
                if (type.Properties[i].AttributeProvider?.IsDefined(typeof(NotAuditedAttribute), inherit: true) == true)
                    type.Properties.RemoveAt(i);
        }),
    };

    public void OnActionExecuting(ActionExecutingContext context)
    {
        foreach (var parameter in context.ActionDescriptor.Parameters.Where(parameter => parameter.BindingInfo?.BindingSource == BindingSource.Body))
            if (context.ActionArguments.TryGetValue(parameter.Name, out var body) && body is not null)
                Audit.SetBody(context.HttpContext, JsonSerializer.Serialize(body, body.GetType(), _options));
    }

    public void OnActionExecuted(ActionExecutedContext context)
    {
    }
}
