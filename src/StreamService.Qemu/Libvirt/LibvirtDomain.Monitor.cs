using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace StreamService.Qemu.Libvirt;

/// <content>QEMU's monitor and migration.</content>
public sealed unsafe partial class LibvirtDomain
{
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
