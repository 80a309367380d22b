using System.Globalization;
using CloudNative.CloudEvents;
using CloudNative.CloudEvents.SystemTextJson;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;
using StreamService.Progress;
using StreamService.Storage;

namespace StreamService.Webhooks;

/// <summary>Events in the form in which receivers get them: CloudEvents 1.0, structured mode, JSON.</summary>
public sealed class WebhookEvents(IOptions<JsonOptions> json)
{
    /// <summary>A stream entered a state; the data is its status as <c>GET /streams/{streamId}</c> shows it.</summary>
    public const string StreamStateChanged = "io.streamservice.stream.state-changed";

    /// <summary>A migration entered a state or began another step; the data is what <c>GET /migrations/{migrationId}</c> shows.</summary>
    public const string MigrationStateChanged = "io.streamservice.migration.state-changed";

    /// <summary>All types.</summary>
    public static IReadOnlyList<string> Types { get; } = [StreamStateChanged, MigrationStateChanged];

    private static readonly CloudEventAttribute Generation = CloudEventAttribute.CreateExtension("generation", CloudEventAttributeType.String);

    private readonly JsonEventFormatter _formatter = new(json.Value.JsonSerializerOptions, default);

    /// <summary>The type of an event.</summary>
    public static string TypeOf(EventRecord happened) => happened.Kind == EventKind.StreamState ? StreamStateChanged : MigrationStateChanged;

    /// <summary>The body for an event, and its media type.</summary>
    public (ReadOnlyMemory<byte> Body, string MediaType) Encode(EventRecord happened)
    {
        var isStream = happened.Kind == EventKind.StreamState;
        var encoded = new CloudEvent([Generation])
        {
            Id = happened.Id.ToString(),
            Type = TypeOf(happened),
            Source = new Uri($"urn:streamservice:host:{Uri.EscapeDataString(happened.Host)}"),
            Subject = $"/{(isStream ? "streams" : "migrations")}/{happened.Subject}",
            Time = happened.Time,
            DataContentType = "application/json",
            Data = isStream ? StreamStatusView.From(happened.ToStream()) : MigrationView.From(happened.ToMigration()),
            // A CloudEvent has no numbers beyond 32 bits.
            [Generation] = happened.Generation.ToString(CultureInfo.InvariantCulture),
        };
        var body = _formatter.EncodeStructuredModeMessage(encoded, out var contentType);
        return (body, contentType.MediaType);
    }
}
