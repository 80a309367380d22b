namespace StreamService.Qemu.Qmp;

/// <summary>How a <see cref="QmpClient"/> connects and how long it waits.</summary>
public sealed class QmpClientOptions
{
    /// <summary>A monitor that has not greeted after so long is taken for busy.</summary>
    public TimeSpan GreetingTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Called once when the monitor is busy; the client then keeps its place in the line and waits on. A client that
    /// gave up instead and came back would only fill the line with connections that QEMU has to take and drop later.
    /// Null: give up with <see cref="QmpBusyException"/>.
    /// </summary>
    public Action? Busy { get; init; }

    /// <summary>The longest wait for an answer.</summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The longest message that is taken, in bytes. A QEMU with hundreds of disks answers query-block in some MiB.</summary>
    public int LongestMessage { get; init; } = 64 << 20;

    /// <summary>Events that may be unread before the oldest are dropped: they are hints, never the news itself.</summary>
    public int EventBacklog { get; init; } = 256;

    /// <summary>The clock of all time limits.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>Something happened in QEMU (an event of QMP). Not replayed: after a reconnect, ask.</summary>
/// <param name="Name">For example BLOCK_JOB_COMPLETED.</param>
/// <param name="Data">Its members; undefined where it has none.</param>
public sealed record QmpEvent(string Name, System.Text.Json.JsonElement Data)
{
    /// <summary>The text of a member; null where it is not there, or no text.</summary>
    public string? Text(string member)
    {
        try
        {
            return Data.ValueKind == System.Text.Json.JsonValueKind.Object && Data.TryGetProperty(member, out var value) && value.ValueKind == System.Text.Json.JsonValueKind.String
                ? value.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            // Not Unicode.
            return null;
        }
    }
}

/// <summary>QEMU's own description in its greeting.</summary>
/// <param name="Version">Major, minor and micro.</param>
/// <param name="Package">The distribution's name of it; may be empty.</param>
public sealed record QmpGreeting(Version Version, string Package);
