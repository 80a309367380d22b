namespace StreamService.IntegrationTests.Harness;

/// <summary>Who runs a test domain, and how the service reaches it.</summary>
public enum DomainKind
{
    /// <summary>libvirt, over its own connection.</summary>
    Libvirt,

    /// <summary>A QEMU without libvirt, by its monitor socket.</summary>
    Qemu,

    /// <summary>A qemu-storage-daemon, by its monitor socket.</summary>
    StorageDaemon,
}
