using System.Collections.Concurrent;

namespace StreamService.Hypervisors;

/// <summary>The disks of one host's shut-off domains that this service has open at the moment.</summary>
/// <remarks>
/// While it is open the domain cannot start: a disk is closed as soon as the last lease of those that opened it is given back, and
/// giving it back returns when the image is free.
/// </remarks>
internal sealed class OfflineDisks(string host, string runtimeDirectory, TimeProvider time, ILogger logger, Action<Guid> closed)
{
    private readonly ConcurrentDictionary<(Guid Domain, string Target), Slot> _slots = new();

    private sealed class Slot
    {
        public SemaphoreSlim Gate { get; } = new(1, 1);
        public volatile OfflineDisk? Disk;
        public int Openers;
        public int Sharers;
    }

    /// <summary>Deletes the sockets that a killed service left. To be called before the first disk is opened.</summary>
    public void CleanUp()
    {
        foreach (var file in Directory.GetFiles(runtimeDirectory, OfflineDisk.SocketPrefix + "*"))
            File.Delete(file);
    }

    /// <summary>The daemon that has the disk; null where it is not open here.</summary>
    public QmpDomain? Find(Guid domain, string target) =>
        _slots.TryGetValue((domain, target), out var slot) && slot.Disk is { IsAlive: true } disk ? disk.Daemon : null;

    /// <summary>Leases the disk's export, and opens the disk where that has not been done.</summary>
    /// <exception cref="HypervisorException">It cannot be opened.</exception>
    public async Task<DiskExport> OpenAsync(Guid domain, string domainName, string target, string source, string format, CancellationToken cancellationToken)
    {
        var slot = _slots.GetOrAdd((domain, target), _ => new Slot());
        await slot.Gate.WaitAsync(cancellationToken);
        try
        {
            if (slot.Disk is { IsAlive: false } dead)
            {
                slot.Disk = null;
                await dead.DisposeAsync();
            }
            slot.Disk ??= await OfflineDisk.OpenAsync(host, domainName, target, source, format, runtimeDirectory, time, logger, cancellationToken);
            return await LeaseAsync(domain, target, slot, slot.Disk, opener: true, cancellationToken);
        }
        finally
        {
            slot.Gate.Release();
        }
    }

    /// <summary>Leases the export of a disk that somebody else keeps open; null where nobody does.</summary>
    public async Task<DiskExport?> TryShareAsync(Guid domain, string target, CancellationToken cancellationToken)
    {
        if (Find(domain, target) is null)
            return null;
        var slot = _slots[(domain, target)];
        await slot.Gate.WaitAsync(cancellationToken);
        try
        {
            if (slot.Openers == 0 || slot.Disk is not { IsAlive: true } disk)
                return null;
            return await LeaseAsync(domain, target, slot, disk, opener: false, cancellationToken);
        }
        finally
        {
            slot.Gate.Release();
        }
    }

    /// <summary>Closes all, for a service that stops.</summary>
    public Task CloseAllAsync() => Task.WhenAll(_slots.Values.Select(async slot =>
    {
        await slot.Gate.WaitAsync();
        try
        {
            if (slot.Disk is { } disk)
                await disk.DisposeAsync();
            slot.Disk = null;
        }
        finally
        {
            slot.Gate.Release();
        }
    }));

    /// <summary>Leases the export of a disk that is open, and counts the lease. The gate must be held.</summary>
    private async Task<DiskExport> LeaseAsync(Guid domain, string target, Slot slot, OfflineDisk disk, bool opener, CancellationToken cancellationToken)
    {
        DiskExport export;
        try
        {
            export = await disk.Daemon.ExportDiskAsync(target, cancellationToken);
        }
        catch
        {
            await CloseUnusedAsync(domain, slot);
            throw;
        }
        Count(slot, opener, 1);
        return new DiskExport(export.Warm, export.ConnectAsync, async () =>
        {
            await export.DisposeAsync();
            await slot.Gate.WaitAsync();
            try
            {
                Count(slot, opener, -1);
                await CloseUnusedAsync(domain, slot);
            }
            finally
            {
                slot.Gate.Release();
            }
        });
    }

    private static void Count(Slot slot, bool opener, int more)
    {
        if (opener)
            slot.Openers += more;
        else
            slot.Sharers += more;
    }

    private async Task CloseUnusedAsync(Guid domain, Slot slot)
    {
        if (slot is not { Openers: 0, Sharers: 0, Disk: { } disk })
            return;
        slot.Disk = null;
        await disk.DisposeAsync();
        // What was last said of the image is from before.
        closed(domain);
    }
}
