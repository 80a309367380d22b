using System.Text.Json;
using System.Text.Json.Serialization;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Storage;

/// <summary>What an event tells of.</summary>
public enum EventKind
{
    /// <summary>A stream entered a state, or waits for something else than before.</summary>
    StreamState,

    /// <summary>A migration entered a state, or began another step.</summary>
    MigrationState,
}

/// <summary>
/// One change of a stream's or migration's state: written in one go with the record that it tells of, so that there is never one
/// without the other. The log of a stream is read from here, and webhooks are delivered from here.
/// </summary>
public sealed class EventRecord
{
    /// <summary>Rises with every event, from the database. One that is not on record has 0.</summary>
    public long Sequence { get; init; }

    /// <summary>Tells receivers of webhooks whether they have it already.</summary>
    public required Guid Id { get; init; }

    public required EventKind Kind { get; init; }
    public required DateTimeOffset Time { get; init; }

    /// <summary>The stream's or migration's id.</summary>
    public required Guid Subject { get; init; }

    /// <summary>The stream's host; the migration's source.</summary>
    public required string Host { get; init; }

    /// <summary>The migration's destination; null of a stream.</summary>
    public required string? Destination { get; init; }

    public required Guid Domain { get; init; }

    /// <summary>The disk; null of a migration.</summary>
    public required string? Target { get; init; }

    public required long Generation { get; init; }

    /// <summary>The <see cref="StreamState"/> or <see cref="MigrationState"/>.</summary>
    public required string State { get; init; }

    public required string? Reason { get; init; }
    public required string? ErrorCode { get; init; }
    public required string? ErrorDetail { get; init; }

    /// <summary>The domain's <see cref="LabelSet"/>.</summary>
    public required string? Labels { get; init; }

    /// <summary>The whole <see cref="StreamStatus"/> or <see cref="MigrationStatus"/> of that moment, as JSON.</summary>
    public required string Picture { get; init; }

    private static readonly JsonSerializerOptions PictureForm = new() { IgnoreReadOnlyProperties = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    /// <summary>Whether a stream's picture tells its watchers something that the record before it did not.</summary>
    /// <remarks>Attempts that fail in the same way one after the other are one event.</remarks>
    public static bool IsNews(StreamRecord? before, StreamStatus now) =>
        before is null
        || before.State != now.State
        || (now.State == StreamState.Waiting && now.LastError is not null && before.LastErrorCode != now.LastError.Code)
        || (now.State == StreamState.Queued && before.Reason is null && now.Reason is not null);

    public static EventRecord From(StreamStatus status)
    {
        var error = status.Error ?? (status is { State: StreamState.Waiting, Attempt: > 0 } ? status.LastError : null);
        return new EventRecord
        {
            Id = Guid.CreateVersion7(status.UpdatedAt),
            Kind = EventKind.StreamState,
            Time = status.UpdatedAt,
            Subject = status.StreamId,
            Host = status.Disk.Host,
            Destination = null,
            Domain = status.Disk.Domain,
            Target = status.Disk.Target,
            Generation = status.Generation,
            State = status.State.ToString(),
            Reason = status.Reason,
            ErrorCode = error?.Code,
            ErrorDetail = error?.Detail,
            Labels = status.Labels.Text,
            Picture = JsonSerializer.Serialize(status, PictureForm),
        };
    }

    public static EventRecord From(MigrationStatus status) => new()
    {
        Id = Guid.CreateVersion7(status.UpdatedAt),
        Kind = EventKind.MigrationState,
        Time = status.UpdatedAt,
        Subject = status.MigrationId,
        Host = status.Source,
        Destination = status.Spec.Destination,
        Domain = status.Domain,
        Target = null,
        Generation = status.Generation,
        State = status.State.ToString(),
        Reason = status.Reason,
        ErrorCode = status.Error?.Code,
        ErrorDetail = status.Error?.Detail,
        Labels = status.Labels.Text,
        Picture = JsonSerializer.Serialize(status, PictureForm),
    };

    /// <summary>The stream as it was. Of <see cref="EventKind.StreamState"/> only.</summary>
    public StreamStatus ToStream() => JsonSerializer.Deserialize<StreamStatus>(Picture, PictureForm)! with { Labels = new LabelSet(Labels) };

    /// <summary>The migration as it was. Of <see cref="EventKind.MigrationState"/> only.</summary>
    public MigrationStatus ToMigration() => JsonSerializer.Deserialize<MigrationStatus>(Picture, PictureForm)! with { Labels = new LabelSet(Labels) };
}

/// <summary>How far the events were delivered to a webhook.</summary>
public sealed class WebhookCursorRecord
{
    /// <summary>The webhook's configured name.</summary>
    public required string Webhook { get; init; }

    /// <summary>The last event that it has, or that was given up.</summary>
    public required long Sequence { get; set; }
}
