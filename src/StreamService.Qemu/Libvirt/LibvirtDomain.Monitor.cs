using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace StreamService.Qemu.Libvirt;

/// <content>QEMU's monitor, migration and jobs.</content>
public sealed unsafe partial class LibvirtDomain
{
    /// <summary>VIR_DOMAIN_JOB_NONE of libvirt-domain.h.</summary>
    private const int JobNone = 0;

    // virDomainGetJobStatsFlags of libvirt-domain.h.
    private const uint JobStatsCompleted = 1 << 0;
    private const uint JobStatsKeepCompleted = 1 << 1;

    /// <summary>Sends one QMP command through libvirt's own monitor connection (virDomainQemuMonitorCommand).</summary>
    /// <param name="json">The command object; libvirt adds the id.</param>
    /// <returns>QEMU's whole answer, a refusal included.</returns>
    public Task<string> MonitorCommandAsync(string json, CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainQemuMonitorCommand),
            () =>
            {
                var result = NativeMethods.virDomainQemuMonitorCommand(_handle, json, out var answer, 0);
                LibvirtConnection.Check(result, nameof(NativeMethods.virDomainQemuMonitorCommand));
                return LibvirtConnection.TakeText(answer, nameof(NativeMethods.virDomainQemuMonitorCommand));
            },
            cancellationToken);

    /// <summary>
    /// As <see cref="MonitorCommandAsync"/>, with open files that go to QEMU along with the command, for getfd and
    /// its like. Needs a daemon on this machine (a Unix socket) and libvirt 8.2.
    /// </summary>
    /// <param name="files">Stay the caller's; QEMU gets duplicates.</param>
    public Task<string> MonitorCommandWithFilesAsync(
        string json, IReadOnlyList<SafeHandle> files, CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainQemuMonitorCommandWithFiles),
            () => SendWithFiles(json, files),
            cancellationToken);

    /// <summary>
    /// Migrates the domain to another host, this process between the two daemons, and returns when it runs there. Cancelling
    /// only stops the wait: <see cref="AbortJobAsync"/> stops the migration.
    /// </summary>
    /// <param name="destination">An error of either daemon is thrown alike.</param>
    /// <param name="parameters">As for <see cref="MigrateToUri3Async"/>.</param>
    /// <param name="options">Without <see cref="MigrateOptions.PeerToPeer"/>.</param>
    /// <param name="timeout">For the whole migration.</param>
    public Task MigrateAsync(
        LibvirtConnection destination,
        IReadOnlyList<KeyValuePair<string, object>> parameters,
        MigrateOptions options,
        TimeSpan timeout,
        CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainMigrate3),
            () => TypedParameters.With(
                parameters,
                (native, count) =>
                {
                    using var migrated = NativeMethods.virDomainMigrate3(
                        _handle, destination.Handle, (VirTypedParameter*)native, (uint)count, (uint)options);
                    return migrated.IsInvalid
                        ? throw LibvirtException.FromLastError(nameof(NativeMethods.virDomainMigrate3))
                        : true;
                }),
            cancellationToken,
            timeout,
            ownThread: true);

    /// <summary>
    /// Migrates the domain to another host and returns when it runs there. Cancelling only stops the wait:
    /// <see cref="AbortJobAsync"/> stops the migration.
    /// </summary>
    /// <param name="destinationUri">The destination daemon as the source's daemon reaches it.</param>
    /// <param name="parameters">VIR_MIGRATE_PARAM_* of libvirt-domain.h; a name such as migrate_disks may repeat.
    /// Values: int, uint, long, ulong, double, bool or string.</param>
    /// <param name="timeout">For the whole migration.</param>
    public Task MigrateToUri3Async(
        string destinationUri,
        IReadOnlyList<KeyValuePair<string, object>> parameters,
        MigrateOptions options,
        TimeSpan timeout,
        CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainMigrateToURI3),
            () => TypedParameters.With(
                parameters,
                (native, count) => NativeMethods.virDomainMigrateToURI3(
                    _handle, destinationUri, (VirTypedParameter*)native, (uint)count, (uint)options)),
            cancellationToken,
            timeout,
            ownThread: true);

    /// <summary>Asks libvirt to end the domain's running job, a migration for one.</summary>
    public Task AbortJobAsync(CancellationToken cancellationToken = default) =>
        ActAsync(nameof(NativeMethods.virDomainAbortJob), () => NativeMethods.virDomainAbortJob(_handle), cancellationToken);

    /// <summary>
    /// The domain's running job; null where there is none. Of a migration only the source tells: the destination refuses.
    /// </summary>
    public Task<DomainJob?> GetJobAsync(CancellationToken cancellationToken = default) => ReadJobAsync(0, cancellationToken);

    /// <summary>
    /// The domain's last job that has come to its end, not one that was aborted; null where there was none. After a migration
    /// both daemons know it, the source's for as long as the domain is defined there.
    /// </summary>
    public Task<DomainJob?> GetLastJobAsync(CancellationToken cancellationToken = default) =>
        ReadJobAsync(JobStatsCompleted | JobStatsKeepCompleted, cancellationToken);

    private Task<DomainJob?> ReadJobAsync(uint flags, CancellationToken cancellationToken) =>
        _connection.CallAsync(nameof(NativeMethods.virDomainGetJobStats), () => ReadJob(flags), cancellationToken);

    private DomainJob? ReadJob(uint flags)
    {
        var result = NativeMethods.virDomainGetJobStats(_handle, out var type, out var parameters, out var count, flags);
        LibvirtConnection.Check(result, nameof(NativeMethods.virDomainGetJobStats));
        try
        {
            if (type == JobNone)
                return null;
            var values = TypedParameters.Read((nint)parameters, count).ToDictionary();
            // They are ULLONGs all.
            long? Find(string name) => values.GetValueOrDefault(name) is ulong number ? (long)number : null;
            long Value(string name) => Find(name) ?? 0;
            // VIR_DOMAIN_JOB_* of libvirt-domain.h.
            return new DomainJob(
                type, Value("time_elapsed"),
                Value("memory_total"), Value("memory_processed"), Value("memory_remaining"), Value("memory_bps"),
                Value("disk_total"), Value("disk_processed"), Value("disk_remaining"), Find("downtime"));
        }
        finally
        {
            NativeMethods.virTypedParamsFree(parameters, count);
        }
    }

    private string SendWithFiles(string json, IReadOnlyList<SafeHandle> files)
    {
        var descriptors = new int[files.Count];
        var held = 0;
        try
        {
            // Held until the call is over: it may outlive its caller, who may close them meanwhile.
            for (; held < files.Count; held++)
            {
                var added = false;
                files[held].DangerousAddRef(ref added);
                descriptors[held] = (int)files[held].DangerousGetHandle();
            }

            fixed (int* first = descriptors)
            {
                var result = NativeMethods.virDomainQemuMonitorCommandWithFiles(
                    _handle, json, (uint)descriptors.Length, first, out var count, out var received, out var answer, 0);
                LibvirtConnection.Check(result, nameof(NativeMethods.virDomainQemuMonitorCommandWithFiles));
                for (var i = 0; i < count; i++)
                    new SafeFileHandle(received[i], ownsHandle: true).Dispose();
                NativeMemory.Free(received);
                return LibvirtConnection.TakeText(answer, nameof(NativeMethods.virDomainQemuMonitorCommandWithFiles));
            }
        }
        finally
        {
            while (held > 0)
                files[--held].DangerousRelease();
        }
    }
}
