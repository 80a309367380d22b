using System.Collections.Concurrent;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>What a single step did, and where the next should go on.</summary>
/// <param name="Offset">The next byte that still needs streaming at or after the range asked for; else the first one
/// before it; the disk's size where nothing is left.</param>
/// <param name="Size">The disk's size in bytes.</param>
/// <param name="Populated">Bytes that this step brought in.</param>
/// <param name="Remaining">Whether anything is left to stream.</param>
public readonly record struct StepResult(long Offset, long Size, long Populated, bool Remaining);

/// <summary>
/// The single mode: populates one unit at an offset and says where to go on. Keeps one connection warm for each disk that
/// is stepped, so that a step costs two round trips to QEMU: one look at the map, one CACHE.
/// </summary>
public sealed class SectorStepper(TimeProvider time)
{
    /// <summary>How long a disk's connection stays after its last step.</summary>
    private static readonly TimeSpan KeepWarm = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(2);

    /// <summary>The same where the domain is shut off, and cannot be started meanwhile.</summary>
    private static readonly TimeSpan KeepWarmOffline = TimeSpan.FromSeconds(2);

    /// <summary>The first look for the next unit goes so far; each further one eight times as far.</summary>
    private const long LookAhead = 4L << 20;

    private readonly ConcurrentDictionary<DiskAddress, Session> _sessions = new();

    private sealed class Session
    {
        public SemaphoreSlim Gate { get; } = new(1, 1);
        public DiskExport? Export { get; set; }
        public long UsedAt { get; set; }
        public long Populated { get; set; }
        public bool Offline { get; set; }
        public TimeSpan KeepWarm => Offline ? KeepWarmOffline : SectorStepper.KeepWarm;

        /// <summary>Gives the export back, if there is one. The gate must be held.</summary>
        public async ValueTask GiveBackAsync()
        {
            if (Export is { } export)
                await export.DisposeAsync();
            Export = null;
        }
    }

    /// <summary>Streams what lies only in the backing chain within the clusters that the range touches.</summary>
    /// <param name="offset">In bytes; below the disk's size.</param>
    /// <param name="length">In bytes; what reaches beyond the disk's end is cut off.</param>
    /// <exception cref="NbdCommandException">QEMU could not bring the range in.</exception>
    public async Task<StepResult> StepAsync(IHypervisor hypervisor, DiskAddress disk, DiskInfo info, int baseDepth, long offset, long length, CancellationToken cancellationToken)
    {
        var session = _sessions.GetOrAdd(disk, _ => new Session());
        session.Offline = info.OpensOffline;
        var nbd = (await ConnectAsync(session, hypervisor, disk, cancellationToken)).Warm;
        var size = nbd.Export.Size;
        var cluster = info.ClusterSize ?? 1;
        var begin = offset - offset % cluster;
        var end = length >= size - offset ? size : Math.Min(size, RoundUp(offset + length, cluster));

        var map = await AllocationMap.ReadAsync(nbd, begin, Math.Min(size, end + LookAhead) - begin, cancellationToken);
        long populated = 0;
        foreach (var extent in map.Remaining(baseDepth).TakeWhile(extent => extent.Offset < end))
            for (var at = extent.Offset; at < Math.Min(extent.End, end);)
            {
                var part = (int)Math.Min(SectorThrottle.LargestRequest, Math.Min(extent.End, end) - at);
                await nbd.CacheAsync(at, part, cancellationToken);
                populated += part;
                at += part;
            }

        var next = map.NextRemaining(end, baseDepth)
            ?? await FindRemainingAsync(nbd, map.Offset + map.Length, size, baseDepth, cancellationToken)
            ?? await FindRemainingAsync(nbd, 0, begin, baseDepth, cancellationToken);
        new StreamMeters(disk.Host).Stepped(populated);
        lock (session)
            session.Populated += populated;
        return new StepResult(next ?? size, size, populated, Remaining: next is not null);
    }

    /// <summary>Turns the holes of the backing chain into zero clusters, as a full stream does before it drops the link.</summary>
    public async Task<DiskExport> PrepareEndAsync(IHypervisor hypervisor, DiskAddress disk, int baseDepth, CancellationToken cancellationToken)
    {
        var export = await ConnectAsync(_sessions.GetOrAdd(disk, _ => new Session()), hypervisor, disk, cancellationToken);
        var map = await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken);
        var populator = new Populator(export.Warm, export.Warm, new StreamPace(new SectorThrottle(0, 1, time)), time);
        populator.SetWindow(PopulateWindow.Narrow);
        await populator.PopulateHolesAsync(map.RemainingHoles(baseDepth), cancellationToken);
        return export;
    }

    /// <summary>Bytes that steps of this service brought into the disk so far.</summary>
    public long BytesPopulated(DiskAddress disk) => _sessions.TryGetValue(disk, out var session) ? session.Populated : 0;

    /// <summary>Gives a disk's connection back at once.</summary>
    public async Task GiveBackAsync(DiskAddress disk)
    {
        if (!_sessions.TryGetValue(disk, out var session))
            return;
        await session.Gate.WaitAsync();
        try
        {
            await session.GiveBackAsync();
        }
        finally
        {
            session.Gate.Release();
        }
    }

    /// <summary>Gives back the connections of a host's disks that nobody steps any more, until its term ends; then all of them.</summary>
    public async Task TendAsync(HostTerm term)
    {
        using var timer = new PeriodicTimer(SweepInterval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(term.Ending))
                await SweepAsync(term.Host);
        }
        catch (OperationCanceledException)
        {
            foreach (var disk in _sessions.Keys.Where(disk => disk.Host == term.Host))
                await GiveBackAsync(disk);
        }
    }

    private async Task SweepAsync(string host)
    {
        foreach (var session in _sessions.Where(session => session.Key.Host == host).Select(session => session.Value))
        {
            if (time.GetElapsedTime(session.UsedAt) < session.KeepWarm)
                continue;
            await session.Gate.WaitAsync();
            try
            {
                if (time.GetElapsedTime(session.UsedAt) < session.KeepWarm)
                    continue;
                await session.GiveBackAsync();
            }
            finally
            {
                session.Gate.Release();
            }
        }
    }

    private async ValueTask<DiskExport> ConnectAsync(Session session, IHypervisor hypervisor, DiskAddress disk, CancellationToken cancellationToken)
    {
        await session.Gate.WaitAsync(cancellationToken);
        try
        {
            session.UsedAt = time.GetTimestamp();
            if (session.Export is { Warm.IsConnected: true } export)
                return export;
            await session.GiveBackAsync();
            return session.Export = await hypervisor.ExportDiskAsync(disk.Domain, disk.Target, evenOff: session.Offline, cancellationToken);
        }
        finally
        {
            session.Gate.Release();
        }
    }

    private static async Task<long?> FindRemainingAsync(NbdClient nbd, long begin, long end, int baseDepth, CancellationToken cancellationToken)
    {
        for (var reach = LookAhead * 8; begin < end; reach *= 8)
        {
            var map = await AllocationMap.ReadAsync(nbd, begin, Math.Min(reach, end - begin), cancellationToken);
            if (map.NextRemaining(begin, baseDepth) is { } found)
                return found;
            begin += map.Length;
        }
        return null;
    }

    private static long RoundUp(long value, int multiple) => (value + multiple - 1) / multiple * multiple;
}
