namespace StreamService.Webhooks;

/// <summary>What webhooks write to the log. Receivers are named by their names: a URL may hold a secret.</summary>
internal static partial class WebhookLog
{
    [LoggerMessage(601, LogLevel.Warning, "Webhook {Webhook} does not take event {Event}, attempt {Attempt}: {Fault} It is sent again in {Delay:0.#} s")]
    public static partial void Failed(ILogger logger, string webhook, Guid @event, int attempt, string fault, double delay);

    [LoggerMessage(602, LogLevel.Information, "Webhook {Webhook} takes events again, after {Failures} failures")]
    public static partial void WorksAgain(ILogger logger, string webhook, int failures);

    [LoggerMessage(603, LogLevel.Error, "Webhook {Webhook} never took event {Event} ({Subject} is {State}), which is given up: {Fault}")]
    public static partial void GivenUp(ILogger logger, string webhook, Guid @event, Guid subject, string state, string fault);

    [LoggerMessage(605, LogLevel.Warning, "Webhook {Webhook} does not get events {First} to {Last}: they were forgotten before it took them, or never written")]
    public static partial void Missed(ILogger logger, string webhook, long first, long last);

    [LoggerMessage(604, LogLevel.Warning, "Events for webhook {Webhook} cannot be read or kept now; it is tried again: {Reason}")]
    public static partial void Interrupted(ILogger logger, string webhook, string reason);
}
