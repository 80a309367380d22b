using StreamService.Qemu.Libvirt;

namespace StreamService.Hypervisors;

// Making domains, and removing them.
public sealed partial class LibvirtHypervisor : IDomainDefiner
{
    private const string SystemImages = "/var/lib/libvirt/images";

    /// <inheritdoc/>
    public bool IsLocal => Uri.TryCreate(_uri, UriKind.Absolute, out var uri) && uri.Scheme == "qemu" && uri.Host.Length == 0;

    /// <summary>Whether its QEMUs are on another machine, where no open file can be handed to them.</summary>
    private bool IsRemote => !IsLocal && new Uri(_uri).Scheme != "qemu+unix";

    /// <summary>Without a host in the URI, libvirt connects to this machine.</summary>
    private static string HostOf(string uri) => new Uri(uri).DnsSafeHost is { Length: > 0 } host ? host : "localhost";

    /// <inheritdoc/>
    public string ImageFolder => Uri.TryCreate(_uri, UriKind.Absolute, out var uri) && uri.AbsolutePath == "/session"
        ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "libvirt", "images")
        : SystemImages;

    /// <inheritdoc/>
    public async Task DefineAsync(Guid domain, string xml, CancellationToken cancellationToken)
    {
        (await CallAsync(connection => connection.DefineXmlAsync(xml, cancellationToken))).Dispose();
        _summaries.Invalidate();
    }

    /// <inheritdoc/>
    public async Task StartAsync(Guid domain, CancellationToken cancellationToken)
    {
        await CallAsync(domain, handle => Completed(handle.CreateAsync(cancellationToken)), cancellationToken);
        Forget(domain);
        _summaries.Invalidate();
    }

    /// <inheritdoc/>
    public async Task RemoveAsync(Guid domain, CancellationToken cancellationToken)
    {
        try
        {
            var (state, _) = await CallAsync(domain, handle => handle.GetStateAsync(cancellationToken), cancellationToken);
            if (StateOf(state) is not (DomainState.ShutOff or DomainState.Crashed or DomainState.NoState))
                await StopAsync(domain, cancellationToken);
            await CallAsync(domain, handle => Completed(handle.UndefineAsync(
                UndefineOptions.ManagedSave | UndefineOptions.SnapshotsMetadata | UndefineOptions.CheckpointsMetadata | UndefineOptions.Nvram, cancellationToken)), cancellationToken);
        }
        catch (DomainNotFoundException)
        {
        }
        _summaries.Invalidate();
    }

    /// <inheritdoc/>
    public async Task<DiskExport> OpenImageAsync(string path, string format, CancellationToken cancellationToken)
    {
        const string target = "image";
        if (!ChildProcesses.CanStart(OfflineDisk.Program))
            throw new HypervisorException("ProgramMissing", $"{OfflineDisk.Program} or setpriv is not installed.");
        var disk = await OfflineDisk.OpenAsync(_name, Path.GetFileName(path), target, path, format, _runtimeDirectory, _time, _logger, cancellationToken);
        try
        {
            var export = await disk.Daemon.ExportDiskAsync(target, cancellationToken);
            return new DiskExport(export.Warm, export.ConnectAsync, async () =>
            {
                await export.DisposeAsync();
                await disk.DisposeAsync();
            });
        }
        catch
        {
            await disk.DisposeAsync();
            throw;
        }
    }

    private async Task StopAsync(Guid domain, CancellationToken cancellationToken)
    {
        try
        {
            await CallAsync(domain, handle => Completed(handle.DestroyAsync(cancellationToken)), cancellationToken);
        }
        catch (DomainNotRunningException)
        {
            // It ended by itself meanwhile.
        }
    }

    private static async Task<bool> Completed(Task task)
    {
        await task;
        return true;
    }
}
