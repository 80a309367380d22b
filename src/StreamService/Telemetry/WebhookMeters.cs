using System.Diagnostics.Metrics;

namespace StreamService.Telemetry;

/// <summary>How an attempt to deliver an event ended.</summary>
internal enum WebhookOutcome
{
    Delivered,
    Failed,
}

/// <summary>What the delivery of events measures.</summary>
internal static class WebhookMeters
{
    private static readonly Histogram<double> Attempts = ServiceMeter.Seconds("streamservice.webhook.duration", "Time of each attempt to deliver an event, by its outcome.");
    private static readonly Counter<long> Deliveries = ServiceMeter.Meter.CreateCounter<long>("streamservice.webhook.attempts", unit: null, "Attempts to deliver an event, by their outcome.");
    private static readonly Counter<long> Lost = ServiceMeter.Meter.CreateCounter<long>("streamservice.webhook.given_up", unit: null, "Events that a receiver never took.");

    public static void Took(string webhook, WebhookOutcome outcome, TimeSpan time)
    {
        Attempts.Record(time.TotalSeconds, NameOf(webhook), OutcomeOf(outcome));
        Deliveries.Add(1, NameOf(webhook), OutcomeOf(outcome));
    }

    public static void GivenUp(string webhook) => Lost.Add(1, NameOf(webhook));

    /// <summary>Shows all counters from the start, at zero.</summary>
    public static void Begin(string webhook)
    {
        foreach (var outcome in Enum.GetValues<WebhookOutcome>())
            Deliveries.Add(0, NameOf(webhook), OutcomeOf(outcome));
        Lost.Add(0, NameOf(webhook));
    }

    internal static KeyValuePair<string, object?> NameOf(string webhook) => new("webhook", webhook);

    private static KeyValuePair<string, object?> OutcomeOf(WebhookOutcome outcome) => new("outcome", outcome == WebhookOutcome.Delivered ? "delivered" : "failed");
}
