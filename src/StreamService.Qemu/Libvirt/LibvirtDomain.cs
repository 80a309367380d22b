using System.Runtime.InteropServices;

namespace StreamService.Qemu.Libvirt;

/// <summary>
/// One domain over one <see cref="LibvirtConnection"/>, whose remarks on errors and time limits hold here too.
/// Disks are named by their target (vda); bandwidths are bytes per second, 0 for no limit.
/// </summary>
/// <remarks>Disposing it frees a native object, not the domain; leaving that to the collector does no harm.</remarks>
public sealed unsafe partial class LibvirtDomain : IDisposable
{
    /// <summary>VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES and VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES of libvirt-domain.h.</summary>
    private const uint PullBandwidthBytes = 1 << 6;

    /// <summary>VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES and VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES of libvirt-domain.h.</summary>
    private const uint JobBandwidthBytes = 1 << 0;

    // virDomainBlockJobAbortFlags of libvirt-domain.h.
    private const uint AbortAsync = 1 << 0;
    private const uint AbortPivot = 1 << 1;

    private readonly LibvirtConnection _connection;
    private readonly DomainHandle _handle;

    internal LibvirtDomain(LibvirtConnection connection, DomainHandle handle, Guid uuid, string name)
    {
        _connection = connection;
        _handle = handle;
        Uuid = uuid;
        Name = name;
    }

    /// <summary>The domain's UUID.</summary>
    public Guid Uuid { get; }

    /// <summary>Its name when it was looked up.</summary>
    public string Name { get; }

    /// <summary>The state and the reason for it.</summary>
    public Task<(DomainState State, int Reason)> GetStateAsync(CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainGetState),
            () =>
            {
                var result = NativeMethods.virDomainGetState(_handle, out var state, out var reason, 0);
                LibvirtConnection.Check(result, nameof(NativeMethods.virDomainGetState));
                return ((DomainState)state, reason);
            },
            cancellationToken);

    /// <summary>The description; <see cref="DomainXml.Parse"/> reads it.</summary>
    public Task<string> GetXmlAsync(DomainXmlOptions options = DomainXmlOptions.None, CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainGetXMLDesc),
            () => LibvirtConnection.TakeText(
                NativeMethods.virDomainGetXMLDesc(_handle, (uint)options), nameof(NativeMethods.virDomainGetXMLDesc)),
            cancellationToken);

    /// <summary>The hypervisor's number of the running domain, as it is now; null where it does not run.</summary>
    public Task<int?> GetIdAsync(CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainLookupByUUIDString),
            () =>
            {
                // virDomainGetID tells what was true when the object was made.
                using var domain = NativeMethods.virDomainLookupByUUIDString(_connection.Handle, Uuid.ToString("D"));
                if (domain.IsInvalid)
                    throw LibvirtException.FromLastError(nameof(NativeMethods.virDomainLookupByUUIDString));
                return DomainList.IdOf(domain.DangerousGetHandle());
            },
            cancellationToken);

    /// <summary>Whether it is defined: there also when it does not run.</summary>
    public Task<bool> IsPersistentAsync(CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainIsPersistent),
            () =>
            {
                var result = NativeMethods.virDomainIsPersistent(_handle);
                LibvirtConnection.Check(result, nameof(NativeMethods.virDomainIsPersistent));
                return result == 1;
            },
            cancellationToken);

    /// <summary>Whether it is started together with the host.</summary>
    public Task<bool> GetAutostartAsync(CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainGetAutostart),
            () =>
            {
                var result = NativeMethods.virDomainGetAutostart(_handle, out var on);
                LibvirtConnection.Check(result, nameof(NativeMethods.virDomainGetAutostart));
                return on != 0;
            },
            cancellationToken);

    /// <summary>Has it started together with the host, or no longer. Only a defined domain can be.</summary>
    public Task SetAutostartAsync(bool on, CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainSetAutostart),
            () => NativeMethods.virDomainSetAutostart(_handle, on ? 1 : 0),
            cancellationToken);

    /// <summary>Starts a defined domain.</summary>
    public Task CreateAsync(CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainCreate),
            () => NativeMethods.virDomainCreate(_handle),
            cancellationToken,
            _connection.Options.LongCallTimeout);

    /// <summary>Stops it at once, as if its power was cut.</summary>
    public Task DestroyAsync(CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainDestroy),
            () => NativeMethods.virDomainDestroy(_handle),
            cancellationToken,
            _connection.Options.LongCallTimeout);

    /// <summary>Pauses its virtual CPUs.</summary>
    public Task SuspendAsync(CancellationToken cancellationToken = default) =>
        ActAsync(nameof(NativeMethods.virDomainSuspend), () => NativeMethods.virDomainSuspend(_handle), cancellationToken);

    /// <summary>Lets them go on.</summary>
    public Task ResumeAsync(CancellationToken cancellationToken = default) =>
        ActAsync(nameof(NativeMethods.virDomainResume), () => NativeMethods.virDomainResume(_handle), cancellationToken);

    /// <summary>Removes the definition; a running domain runs on until it is stopped.</summary>
    public Task UndefineAsync(UndefineOptions options = UndefineOptions.None, CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainUndefineFlags),
            () => NativeMethods.virDomainUndefineFlags(_handle, (uint)options),
            cancellationToken,
            _connection.Options.LongCallTimeout);

    /// <summary>Sizes of a disk.</summary>
    public Task<BlockInfo> GetBlockInfoAsync(string disk, CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainGetBlockInfo),
            () =>
            {
                var result = NativeMethods.virDomainGetBlockInfo(_handle, disk, out var info, 0);
                LibvirtConnection.Check(result, nameof(NativeMethods.virDomainGetBlockInfo));
                return new BlockInfo((long)info.Capacity, (long)info.Allocation, (long)info.Physical);
            },
            cancellationToken);

    /// <summary>What the guest has done to a disk of a running domain.</summary>
    public Task<BlockStats> GetBlockStatsAsync(string disk, CancellationToken cancellationToken = default) =>
        _connection.CallAsync(nameof(NativeMethods.virDomainBlockStatsFlags), () => ReadBlockStats(disk), cancellationToken);

    /// <summary>Begins to stream the whole backing chain into the disk's active layer; libvirt drops the backing link at the end.</summary>
    public Task BlockPullAsync(string disk, long bandwidthBytes = 0, CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainBlockPull),
            () => NativeMethods.virDomainBlockPull(_handle, disk, Bandwidth(bandwidthBytes), PullBandwidthBytes),
            cancellationToken);

    /// <summary>As <see cref="BlockPullAsync"/>, down to a layer that stays as the backing file.</summary>
    /// <param name="backingFile">Its path, or the form vda[2] with its index; null for the whole chain.</param>
    /// <param name="flags">Further bits of virDomainBlockRebaseFlags; that for bytes is always set.</param>
    public Task BlockRebaseAsync(
        string disk, string? backingFile, long bandwidthBytes = 0, uint flags = 0, CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainBlockRebase),
            () => NativeMethods.virDomainBlockRebase(
                _handle, disk, backingFile, Bandwidth(bandwidthBytes), flags | PullBandwidthBytes),
            cancellationToken);

    /// <summary>Begins to commit layers of the disk's chain into one below.</summary>
    /// <param name="baseName">The layer that takes them in: its path, or the form vda[2] with its index; null for the bottom.</param>
    /// <param name="topName">The topmost layer that is committed; null for the active one, which needs
    /// <see cref="BlockCommitOptions.Active"/>.</param>
    public Task BlockCommitAsync(
        string disk,
        string? baseName,
        string? topName,
        long bandwidthBytes,
        BlockCommitOptions options,
        CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainBlockCommit),
            () => NativeMethods.virDomainBlockCommit(
                _handle, disk, baseName, topName, Bandwidth(bandwidthBytes), (uint)(options | BlockCommitOptions.BandwidthBytes)),
            cancellationToken);

    /// <summary>The disk's block job; null where there is none.</summary>
    public Task<BlockJobInfo?> GetBlockJobInfoAsync(string disk, CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainGetBlockJobInfo),
            () =>
            {
                var result = NativeMethods.virDomainGetBlockJobInfo(_handle, disk, out var info, JobBandwidthBytes);
                LibvirtConnection.Check(result, nameof(NativeMethods.virDomainGetBlockJobInfo));
                return result == 0
                    ? null
                    : new BlockJobInfo((BlockJobType)info.Type, (long)info.Bandwidth, (long)info.Cur, (long)info.End);
            },
            cancellationToken);

    /// <summary>Ends the disk's block job.</summary>
    /// <param name="async">Only ask for it; the event tells when it has ended. Otherwise waits for the end.</param>
    /// <param name="pivot">End a copy or an active commit by going over to its target.</param>
    public Task BlockJobAbortAsync(string disk, bool async, bool pivot, CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainBlockJobAbort),
            () => NativeMethods.virDomainBlockJobAbort(_handle, disk, (async ? AbortAsync : 0) | (pivot ? AbortPivot : 0)),
            cancellationToken,
            async ? null : _connection.Options.LongCallTimeout);

    /// <summary>Changes the pace of the disk's block job.</summary>
    public Task BlockJobSetSpeedAsync(string disk, long bandwidthBytes, CancellationToken cancellationToken = default) =>
        ActAsync(
            nameof(NativeMethods.virDomainBlockJobSetSpeed),
            () => NativeMethods.virDomainBlockJobSetSpeed(_handle, disk, Bandwidth(bandwidthBytes), JobBandwidthBytes),
            cancellationToken);

    /// <summary>Makes a snapshot of a domainsnapshot description.</summary>
    public Task SnapshotCreateXmlAsync(string xml, SnapshotCreateOptions options, CancellationToken cancellationToken = default) =>
        _connection.CallAsync(
            nameof(NativeMethods.virDomainSnapshotCreateXML),
            () =>
            {
                using var snapshot = NativeMethods.virDomainSnapshotCreateXML(_handle, xml, (uint)options);
                return snapshot.IsInvalid
                    ? throw LibvirtException.FromLastError(nameof(NativeMethods.virDomainSnapshotCreateXML))
                    : true;
            },
            cancellationToken,
            _connection.Options.LongCallTimeout);

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();

    private Task<bool> ActAsync(
        string function, Func<int> call, CancellationToken cancellationToken, TimeSpan? timeout = null, bool ownThread = false) =>
        _connection.CallAsync(
            function,
            () =>
            {
                LibvirtConnection.Check(call(), function);
                return true;
            },
            cancellationToken,
            timeout,
            ownThread);

    private BlockStats ReadBlockStats(string disk)
    {
        // Asked twice, as the function wants it: for the number of values, then for them.
        var count = 0;
        Call(null, ref count);
        var parameters = (VirTypedParameter*)NativeMemory.AllocZeroed((nuint)count, (nuint)sizeof(VirTypedParameter));
        try
        {
            Call(parameters, ref count);
            var values = TypedParameters.Read((nint)parameters, count).ToDictionary();
            long Value(string name) => values.GetValueOrDefault(name) is long number ? number : 0;
            // VIR_DOMAIN_BLOCK_STATS_* of libvirt-domain.h.
            return new BlockStats(
                Value("rd_bytes"), Value("rd_operations"), Value("rd_total_times"),
                Value("wr_bytes"), Value("wr_operations"), Value("wr_total_times"),
                Value("flush_operations"), Value("flush_total_times"));
        }
        finally
        {
            NativeMemory.Free(parameters);
        }

        void Call(VirTypedParameter* buffer, ref int size) =>
            LibvirtConnection.Check(
                NativeMethods.virDomainBlockStatsFlags(_handle, disk, buffer, ref size, 0),
                nameof(NativeMethods.virDomainBlockStatsFlags));
    }

    private static nuint Bandwidth(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        return (nuint)bytes;
    }
}
