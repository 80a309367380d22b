using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Tests.Migrations;

/// <summary>A migration of two disks, as tests need it.</summary>
internal static class Sample
{
    public static MigrationStatus Migration(string format = "qcow2", string address = "10.0.0.1") => new(
        Guid.Parse("01a20830-ab2e-792e-ac28-580e64ca6122"), Guid.Parse("bc54c4b5-2420-4309-ad46-eda81aa25d9e"), "vm", "a",
        new MigrationSpec("b", new StreamSpec(null, 0, StreamPolicy.Adaptive, StreamPriority.Normal, StreamOnError.Stop, null, StreamOrder.Sequential), Verify: true, format, Folder: null),
        Persistent: true, Autostart: false, address, MigrationState.Running, CancelRequested: false, MigrationStepName.Migrate, Reason: null, Error: null,
        [.. Enum.GetValues<MigrationStepName>().Select(name => new MigrationStep(name, MigrationStepState.Pending, null, null, 0, null))],
        [Disk("vda", 10810), Disk("vdb", 10811)],
        Memory: null, LeftOnSource: [], DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch, SwitchedAt: null, FinishedAt: null, Generation: 7);

    public static MigrationDisk Disk(string target, int port) =>
        new(target, 1 << 20, $"/images/{target}.raw", "raw", [], $"/images/{target}.64ca6122.qcow2", $"/other/{target}.raw", port);
}
