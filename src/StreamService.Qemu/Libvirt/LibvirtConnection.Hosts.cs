namespace StreamService.Qemu.Libvirt;

/// <content>What a host can run, domains without a definition, and folders of its file system.</content>
public sealed partial class LibvirtConnection
{
    /// <summary>
    /// Held during every call on a folder: libvirt refuses most of them while another one is at work in the same storage pool.
    /// </summary>
    private readonly SemaphoreSlim _folderGate = new(1, 1);

    /// <summary>The folders that are open, by path. Guarded by the gate.</summary>
    private readonly Dictionary<string, FolderUse> _folders = [];

    /// <summary>Starts a domain. Without a definition of its own it is gone once it has stopped.</summary>
    public Task<LibvirtDomain> CreateXmlAsync(
        string xml, DomainCreateOptions options, CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virDomainCreateXML),
            () => ToDomain(
                NativeMethods.virDomainCreateXML(_handle, xml, (uint)options), nameof(NativeMethods.virDomainCreateXML)),
            cancellationToken,
            Options.LongCallTimeout);

    /// <summary>
    /// What a kind of machine can have on this host, as a domainCapabilities description. Null stands for the host's default.
    /// </summary>
    /// <param name="machine">A machine type, such as pc-q35-7.2.</param>
    /// <param name="virtType">kvm or qemu.</param>
    /// <exception cref="LibvirtException">The host knows no such machine.</exception>
    public unsafe Task<string> GetDomainCapabilitiesAsync(
        string? emulator, string? architecture, string? machine, string? virtType, CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virConnectGetDomainCapabilities),
            () => TakeText(
                NativeMethods.virConnectGetDomainCapabilities(_handle, emulator, architecture, machine, virtType, 0),
                nameof(NativeMethods.virConnectGetDomainCapabilities)),
            cancellationToken,
            Options.LongCallTimeout);

    /// <summary>
    /// Compares a CPU with what this host's hypervisor can give a guest. The first four are those of
    /// <see cref="GetDomainCapabilitiesAsync"/>.
    /// </summary>
    /// <param name="cpuXml">A cpu element of a domain's description.</param>
    public Task<CpuComparison> CompareHypervisorCpuAsync(
        string? emulator,
        string? architecture,
        string? machine,
        string? virtType,
        string cpuXml,
        CancellationToken cancellationToken = default) =>
        CallAsync(
            nameof(NativeMethods.virConnectCompareHypervisorCPU),
            () =>
            {
                var result = NativeMethods.virConnectCompareHypervisorCPU(
                    _handle, emulator, architecture, machine, virtType, cpuXml, 0);
                Check(result, nameof(NativeMethods.virConnectCompareHypervisorCPU));
                return (CpuComparison)result;
            },
            cancellationToken,
            Options.LongCallTimeout);

    /// <summary>Opens a folder of the host's file system.</summary>
    /// <param name="path">Absolute, and there already.</param>
    /// <exception cref="LibvirtException">It is not there, among others: the text tells.</exception>
    public async Task<LibvirtFolder> OpenFolderAsync(string path, CancellationToken cancellationToken = default)
    {
        path = LibvirtFolder.Normalize(path);
        await _folderGate.WaitAsync(cancellationToken);
        try
        {
            var pool = await CallAsync(
                nameof(NativeMethods.virStoragePoolCreateXML),
                () => StoragePool.Open(_handle, path),
                cancellationToken,
                Options.LongCallTimeout);
            var (users, closes) = _folders.GetValueOrDefault(path);
            _folders[path] = new FolderUse(users + 1, closes || pool.IsOurs);
            return new LibvirtFolder(this, pool);
        }
        finally
        {
            _folderGate.Release();
        }
    }

    /// <summary>Makes a call on an open folder.</summary>
    internal async Task<T> CallFolderAsync<T>(string function, Func<T> call, CancellationToken cancellationToken)
    {
        await _folderGate.WaitAsync(cancellationToken);
        try
        {
            return await CallAsync(function, call, cancellationToken, Options.LongCallTimeout);
        }
        finally
        {
            _folderGate.Release();
        }
    }

    /// <summary>Ends the use of a folder; the last user's end takes a storage pool along that is there for it only.</summary>
    internal async Task CloseFolderAsync(StoragePool pool)
    {
        await _folderGate.WaitAsync();
        try
        {
            var (users, closes) = _folders[pool.Path];
            if (users > 1)
            {
                _folders[pool.Path] = new FolderUse(users - 1, closes);
                return;
            }

            _folders.Remove(pool.Path);
            if (closes)
            {
                await CallAsync(
                    nameof(NativeMethods.virStoragePoolDestroy), pool.Destroy, CancellationToken.None, Options.LongCallTimeout);
            }
        }
        catch (Exception e) when (e is LibvirtException or ObjectDisposedException)
        {
            // The host is gone, or somebody else has ended the pool. One that is left is taken over by whoever opens the folder next.
        }
        finally
        {
            pool.Dispose();
            _folderGate.Release();
        }
    }

    /// <summary>Who uses a folder.</summary>
    /// <param name="Users">How many have it open.</param>
    /// <param name="Closes">The last of them ends the storage pool.</param>
    private readonly record struct FolderUse(int Users, bool Closes);
}
