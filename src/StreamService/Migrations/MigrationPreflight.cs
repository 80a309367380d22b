using System.Net;
using System.Net.Sockets;
using System.Xml.Linq;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Libvirt;
using StreamService.Streaming;
using DomainState = StreamService.Hypervisors.DomainState;

namespace StreamService.Migrations;

/// <summary>Looks at all that could stand in a migration's way before anything is changed, and tells all of it at once.</summary>
public sealed class MigrationPreflight(StreamManager streams, SourceExports exports, IOptions<StreamServiceOptions> options, TimeProvider time)
{
    /// <summary>What an overlay takes beside its data; generously.</summary>
    private const long OverlayMetadata = 1 << 20;

    private readonly MigrationOptions _options = options.Value.Migration;

    /// <summary>The faults found so far, by the member of the request or the part that they are about.</summary>
    private sealed class Faults
    {
        private readonly Dictionary<string, List<string>> _all = [];

        public bool Any => _all.Count > 0;

        public void Add(string part, string text)
        {
            if (!_all.TryGetValue(part, out var texts))
                _all[part] = texts = [];
            texts.Add(text);
        }

        public void ThrowIfAny()
        {
            if (Any)
                throw new MigrationRefusedException(_all.ToDictionary(fault => fault.Key, fault => fault.Value.ToArray()));
        }
    }

    /// <summary>Checks everything; the picture that is returned has its first step done.</summary>
    /// <exception cref="MigrationRefusedException">All that stands in the way.</exception>
    /// <exception cref="DomainNotRunningException">The domain is not running.</exception>
    /// <exception cref="StreamRefusedException">A disk is being streamed, or a block job is at work on it.</exception>
    /// <exception cref="HostUnreachableException">A host does not answer.</exception>
    public async Task<MigrationStatus> CheckAsync(IHypervisor hypervisor, DomainInfo domain, IHypervisor destinationHost, MigrationSpec spec, CancellationToken cancellationToken)
    {
        var begun = time.GetUtcNow();
        var faults = new Faults();
        if (ReferenceEquals(hypervisor, destinationHost))
            faults.Add("destination", $"Domain '{domain.Name}' is on {spec.Destination} already.");
        if (destinationHost is not IMigrationHost)
            faults.Add("destination", $"{spec.Destination} is not a host with libvirt.");
        if (hypervisor is not IMigrationHost { IsLocal: true })
            faults.Add("source", $"Domain '{domain.Name}' is on {domain.Host}, which is not the libvirt of this service's own machine: a service that runs there can export its disks.");
        faults.ThrowIfAny();
        var (source, destination) = ((IMigrationHost)hypervisor, (IMigrationHost)destinationHost);
        if (domain.State is not (DomainState.Running or DomainState.Blocked))
            throw new DomainNotRunningException(domain.Name);
        if (destination.Info is { State: not HostState.Connected } away)
            throw new HostUnreachableException(away.Name, away.LastError ?? "Not connected.");

        var xml = await source.DescribeForMigrationAsync(domain.Id, persistent: false, cancellationToken);
        var id = Guid.CreateVersion7(begun);
        var disks = await FindDisksAsync(source, destination, domain, xml, spec, id, faults, cancellationToken);
        foreach (var obstacle in await destination.FindObstaclesAsync(domain.Id, xml, cancellationToken))
            faults.Add("destination", obstacle);
        await CheckFoldersAsync(source, destination, domain, disks, spec, faults, cancellationToken);
        var address = await FindAddressAsync(source, destination, faults, cancellationToken);
        // Should the domain not fit there anyway, it is not asked to connect.
        if (!faults.Any)
            await ProbeAsync(destination, xml, address!, id, faults, cancellationToken);
        faults.ThrowIfAny();

        var standing = await source.LookAsync(domain.Id, cancellationToken) ?? throw new DomainNotFoundException(domain.Id.ToString());
        var now = time.GetUtcNow();
        return new MigrationStatus(
            id, domain.Id, domain.Name, domain.Host, spec, standing.Persistent, standing.Persistent && await source.GetAutostartAsync(domain.Id, cancellationToken), address!,
            MigrationState.Running, CancelRequested: false, MigrationStepName.Preflight, Reason: null, Error: null,
            [.. Enum.GetValues<MigrationStepName>().Select(name => name == MigrationStepName.Preflight
                ? new MigrationStep(name, MigrationStepState.Done, begun, now, Attempts: 1, Detail: null)
                : new MigrationStep(name, MigrationStepState.Pending, null, null, Attempts: 0, Detail: null))],
            disks, Memory: null, LeftOnSource: [], CreatedAt: begun, UpdatedAt: now, SwitchedAt: null, FinishedAt: null, Generation: 1)
        {
            Labels = LabelSet.Of(domain.Labels),
        };
    }

    /// <summary>The disks that move. Those that both hosts can see, or that the guest cannot write, do not.</summary>
    private async Task<IReadOnlyList<MigrationDisk>> FindDisksAsync(IMigrationHost source, IMigrationHost destination, DomainInfo domain, string xml, MigrationSpec spec, Guid id,
        Faults faults, CancellationToken cancellationToken)
    {
        var types = XElement.Parse(xml).Elements("devices").Elements("disk").ToDictionary(disk => (string)disk.Element("target")!.Attribute("dev")!, disk => (string?)disk.Attribute("type"));
        var moving = new List<MigrationDisk>();
        foreach (var disk in DomainXml.Parse(xml).Disks)
        {
            if (disk.Source is not { } path || types[disk.Target] == "network")
                continue;
            var stays = disk.ReadOnly || disk.Shareable || disk.Device is not ("disk" or "lun");
            if (types[disk.Target] != "file")
            {
                if (!stays)
                    faults.Add($"disks.{disk.Target}", $"Disk '{disk.Target}' is no file ({types[disk.Target]} '{path}'): only files move. What both hosts can see is to be marked shareable.");
                continue;
            }
            if (IsShared(path))
                continue;
            if (disk is { Shareable: true, ReadOnly: false })
            {
                faults.Add($"disks.{disk.Target}", $"Disk '{disk.Target}' is shared with other domains, but '{path}' is on no file system that other hosts have too.");
                continue;
            }
            if (stays)
            {
                if (!await ExistsAsync(destination, path, cancellationToken))
                    faults.Add($"disks.{disk.Target}", $"'{path}', which the guest cannot write and which therefore does not move, is not there on {spec.Destination}.");
                continue;
            }
            var address = new DiskAddress(domain.Host, domain.Id, disk.Target);
            if (streams.IsStreamed(address))
                throw new StreamRefusedException(StreamRefusal.StreamActive, $"Disk '{disk.Target}' of domain '{domain.Name}' is being streamed; it can move once that is over, or cancelled.", address);
            if (await source.FindBlockJobAsync(domain.Id, disk.Target, cancellationToken) is { } job)
                throw new StreamRefusedException(StreamRefusal.BlockJobActive, $"A block job of type '{job.Type}' is at work on disk '{disk.Target}' of domain '{domain.Name}'.", address);
            // The chain as it is open now: a description for migration leaves out what libvirt has read from the images themselves.
            var open = domain.FindDisk(disk.Target) ?? throw new DiskNotFoundException(domain.Name, disk.Target);
            moving.Add(new MigrationDisk(
                disk.Target,
                open.Size,
                path,
                open.Format,
                open.BackingChain,
                Path.Combine(Path.GetDirectoryName(path)!, $"{Path.GetFileNameWithoutExtension(path)}.{id.ToString("N")[^8..]}.qcow2"),
                Path.Combine(spec.Folder ?? Path.GetDirectoryName(path)!, Path.GetFileName(path)),
                Port: 0));
        }
        foreach (var twice in moving.GroupBy(disk => disk.Destination).Where(group => group.Count() > 1))
            faults.Add("folder", $"Disks {string.Join(" and ", twice.Select(disk => disk.Target))} would both become '{twice.Key}'.");
        if (moving.Count == 0 && !faults.Any)
            faults.Add("domain", $"Domain '{domain.Name}' has no disk that has to move: libvirt's own live migration will do.");
        return moving;
    }

    /// <summary>Whether the file is on a file system that other machines have too.</summary>
    private static bool IsShared(string path)
    {
        try
        {
            return new DriveInfo(path).DriveType == DriveType.Network;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return false;
        }
    }

    private static async Task<bool> ExistsAsync(IMigrationHost host, string path, CancellationToken cancellationToken)
    {
        try
        {
            await using var folder = await host.OpenFolderAsync(Path.GetDirectoryName(path)!, cancellationToken);
            return await folder.ExistsAsync(Path.GetFileName(path), cancellationToken);
        }
        catch (HypervisorException)
        {
            return false;
        }
    }

    /// <summary>On the destination: the folders are there, the files are not, and there is room for all that may be written.</summary>
    private static async Task CheckFoldersAsync(IMigrationHost source, IMigrationHost destination, DomainInfo domain, IReadOnlyList<MigrationDisk> disks, MigrationSpec spec,
        Faults faults, CancellationToken cancellationToken)
    {
        foreach (var group in disks.GroupBy(disk => Path.GetDirectoryName(disk.Destination)!))
        {
            try
            {
                await using var folder = await destination.OpenFolderAsync(group.Key, cancellationToken);
                long needed = 0;
                foreach (var disk in group)
                {
                    needed += OverlayMetadata + await CountDataAsync(source, domain, disk, cancellationToken);
                    if (await folder.ExistsAsync(Path.GetFileName(disk.Destination), cancellationToken))
                        faults.Add($"disks.{disk.Target}", $"'{disk.Destination}' exists on {spec.Destination} already.");
                }
                var free = await folder.GetAvailableBytesAsync(cancellationToken);
                if (needed > free)
                    faults.Add("space", $"The disks may take {needed} bytes in '{group.Key}' on {spec.Destination}, which has {free} bytes free.");
            }
            catch (HypervisorException refused)
            {
                faults.Add("folder", $"'{group.Key}' cannot be used on {spec.Destination}: {refused.Text}");
            }
        }
    }

    /// <summary>Bytes of data that a disk holds, wherever in its chain; all of it where that cannot be told.</summary>
    private static async Task<long> CountDataAsync(IMigrationHost source, DomainInfo domain, MigrationDisk disk, CancellationToken cancellationToken)
    {
        try
        {
            await using var export = await source.ExportDiskAsync(domain.Id, disk.Target, evenOff: false, cancellationToken);
            var map = await AllocationMap.ReadAsync(export.Warm, 0, export.Size, cancellationToken);
            return map.Extents.Where(extent => extent is { Depth: > 0, IsZero: false }).Sum(extent => extent.Length);
        }
        catch (ExportUnavailableException)
        {
            return disk.Size;
        }
    }

    /// <summary>The address of this machine under which the destination shall find the exports: the configured one, or that from which it is reached.</summary>
    private static async Task<string?> FindAddressAsync(IMigrationHost source, IMigrationHost destination, Faults faults, CancellationToken cancellationToken)
    {
        try
        {
            if (source.MigrationAddress is { } configured)
                return (await Dns.GetHostAddressesAsync(configured, cancellationToken))[0].ToString();
            if (destination.MigrationAddress is not { } there)
                return IPAddress.Loopback.ToString();
            // Nothing is sent: connecting a datagram socket only chooses the way.
            using var way = new Socket(SocketType.Dgram, ProtocolType.Udp);
            await way.ConnectAsync(there, 1, cancellationToken);
            var address = ((IPEndPoint)way.LocalEndPoint!).Address;
            return (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();
        }
        catch (SocketException exception)
        {
            faults.Add("destination", $"The way to {destination.Info.Name} is not known ({exception.Message}): set MigrationAddress of both hosts.");
            return null;
        }
    }

    /// <summary>Serves a small file for a moment and has the destination's QEMU open it: through the same address, ports, certificates.</summary>
    private async Task ProbeAsync(IMigrationHost destination, string xml, string address, Guid id, Faults faults, CancellationToken cancellationToken)
    {
        var name = $"streamservice-probe-{id.ToString("N")[^8..]}";
        var file = Path.Combine(RuntimeDirectory.Prepare(options.Value.RuntimeDirectory), name + ".raw");
        try
        {
            await File.WriteAllBytesAsync(file, new byte[1 << 20], cancellationToken);
            var port = exports.FindPort(address, new HashSet<int>());
            await exports.StartAsync(name, FrozenImage.Describe(file, "raw", []), address, port, cancellationToken);
            await destination.ProbeExportAsync(DestinationXml.BuildProbe(xml, name, address, port, name, _options.Tls.IsConfigured), cancellationToken);
        }
        catch (HypervisorException refused)
        {
            faults.Add("export", $"{destination.Info.Name} cannot read what is exported at {address}: {refused.Text}");
        }
        finally
        {
            await exports.StopAsync(name, CancellationToken.None);
            File.Delete(file);
        }
    }
}
