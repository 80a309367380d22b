using System.Text.Json;
using System.Text.Json.Nodes;

namespace StreamService.Qemu.Qmp;

/// <summary>
/// QEMU's stream job and what can be done to a job (qapi/block-core.json, job.json). Errors are those of
/// <see cref="IQmpMonitor.ExecuteAsync"/>. Not for domains under libvirt, which keeps count of their jobs itself.
/// </summary>
public static class JobCommands
{
    /// <summary>Begins to stream into a node what lies below it.</summary>
    /// <param name="nodeName">The active layer.</param>
    /// <param name="baseNodeName">The layer that stays as backing image; null for none.</param>
    /// <param name="speedBytes">Bytes per second; 0 for no limit.</param>
    /// <param name="autoFinalize">false: at its end the job waits as pending, its backing link still there, until
    /// <see cref="JobFinalizeAsync"/>. That leaves the time to make the populated clusters durable first.</param>
    /// <param name="autoDismiss">false: the job stays as concluded, with its error, until <see cref="JobDismissAsync"/>.</param>
    /// <param name="onError">report, ignore, stop or enospc.</param>
    public static Task BlockStreamAsync(
        this IQmpMonitor monitor,
        string jobId,
        string nodeName,
        string? baseNodeName = null,
        long speedBytes = 0,
        bool autoFinalize = false,
        bool autoDismiss = false,
        string onError = "report",
        CancellationToken cancellationToken = default)
    {
        var arguments = new JsonObject
        {
            ["job-id"] = jobId,
            ["device"] = nodeName,
            ["speed"] = speedBytes,
            ["auto-finalize"] = autoFinalize,
            ["auto-dismiss"] = autoDismiss,
            ["on-error"] = onError,
        };
        if (baseNodeName is not null)
            arguments["base-node"] = baseNodeName;
        return monitor.ExecuteAsync("block-stream", arguments, null, cancellationToken);
    }

    /// <summary>Lets a pending job end.</summary>
    public static Task JobFinalizeAsync(this IQmpMonitor monitor, string id, CancellationToken cancellationToken = default) =>
        monitor.ActAsync("job-finalize", id, cancellationToken);

    /// <summary>Forgets a concluded job.</summary>
    public static Task JobDismissAsync(this IQmpMonitor monitor, string id, CancellationToken cancellationToken = default) =>
        monitor.ActAsync("job-dismiss", id, cancellationToken);

    /// <summary>Asks a job to end early; a stream keeps what it has populated.</summary>
    public static Task JobCancelAsync(this IQmpMonitor monitor, string id, CancellationToken cancellationToken = default) =>
        monitor.ActAsync("job-cancel", id, cancellationToken);

    /// <summary>Pauses a job.</summary>
    public static Task JobPauseAsync(this IQmpMonitor monitor, string id, CancellationToken cancellationToken = default) =>
        monitor.ActAsync("job-pause", id, cancellationToken);

    /// <summary>Lets a paused job go on.</summary>
    public static Task JobResumeAsync(this IQmpMonitor monitor, string id, CancellationToken cancellationToken = default) =>
        monitor.ActAsync("job-resume", id, cancellationToken);

    /// <summary>Changes a block job's pace; bytes per second, 0 for no limit.</summary>
    public static Task BlockJobSetSpeedAsync(
        this IQmpMonitor monitor, string id, long speedBytes, CancellationToken cancellationToken = default) =>
        monitor.ExecuteAsync(
            "block-job-set-speed", new JsonObject { ["device"] = id, ["speed"] = speedBytes }, null, cancellationToken);

    private static Task<JsonElement> ActAsync(this IQmpMonitor monitor, string command, string id, CancellationToken cancellationToken) =>
        monitor.ExecuteAsync(command, new JsonObject { ["id"] = id }, null, cancellationToken);
}
