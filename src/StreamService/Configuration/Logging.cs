using Serilog;
using Serilog.Formatting;
using Serilog.Formatting.Compact;
using Serilog.Filters;
using Serilog.Templates;
using StreamService.Security;

namespace StreamService.Configuration;

/// <summary>How the log looks on the console.</summary>
public enum LogFormat
{
    /// <summary>Lines for people: time, level, the stream they belong to, message.</summary>
    Text,

    /// <summary>Compact JSON, an object a line, for log stores.</summary>
    Json,
}

/// <summary>Serilog: levels and further sinks by the section <c>Serilog</c>, the console by <c>StreamService:LogFormat</c>.</summary>
internal static class Logging
{
    /// <summary>Lines of a stream job name the domain, the disk and the stream.</summary>
    private const string Line = "{@t:HH:mm:ss.fff} {@l:u3} {#if Domain is not null}[{Domain}{#if Target is not null} {Target}{#end}"
        + "{#if StreamId is not null} {StreamId}{#end}] {#end}{@m}\n{@x}";

    public static void Configure(LoggerConfiguration logger, IConfiguration configuration, LogFormat format, string auditFile)
    {
        logger.ReadFrom.Configuration(configuration).Enrich.FromLogContext()
            .WriteTo.Console((ITextFormatter)(format == LogFormat.Json ? new RenderedCompactJsonFormatter() : new ExpressionTemplate(Line)));
        if (auditFile.Length > 0)
            logger.WriteTo.Logger(audit => audit.Filter.ByIncludingOnly(Matching.FromSource(Audit.Source))
                .WriteTo.File(new CompactJsonFormatter(), auditFile, rollingInterval: RollingInterval.Day, retainedFileCountLimit: null));
    }
}
