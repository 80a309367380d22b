using System.Collections.Concurrent;
using Microsoft.Extensions.Options;
using StreamService.Configuration;
using StreamService.Deployment.Images;
using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Streaming;

namespace StreamService.Deployment;

/// <summary>
/// Rapid deployment: an overlay on a central image, a domain that boots from it at once, a stream behind. A failure at any
/// step undoes the earlier ones, and so does the next service after a crash.
/// </summary>
public sealed class Deployer(
    HostDirectory hosts,
    HostTerms terms,
    ImageCatalog images,
    DeploymentStore store,
    ProfileLearner learner,
    OverlaySeeds seeds,
    StreamManager streams,
    IOptions<StreamServiceOptions> options,
    TimeProvider time,
    ILogger<Deployer> logger)
{
    private readonly ConcurrentDictionary<(string Host, string Name), Promise> _underWay = new();

    /// <summary>The space that a deployment which is not on record yet will need.</summary>
    private sealed record Promise(string Folder, long Bytes);

    /// <summary>Deploys a domain; returns when it runs.</summary>
    /// <param name="idempotencyKey">The same key gets the domain that it began, should the first answer have been lost.</param>
    /// <exception cref="DeploymentRefusedException">It cannot be done as asked.</exception>
    /// <exception cref="ImageNotFoundException">There is no such image.</exception>
    /// <exception cref="ImageRefusedException">The image cannot be used.</exception>
    /// <exception cref="InvalidTemplateException">The template is at fault.</exception>
    public async Task<DomainInfo> DeployAsync(DeploymentSpec spec, string? idempotencyKey, CancellationToken cancellationToken)
    {
        if (idempotencyKey is not null && await store.FindByIdempotencyKeyAsync(idempotencyKey, cancellationToken) is { State: DeploymentState.Deployed } begun)
            return (await hosts.FindDomainAsync(begun.Domain.ToString(), cancellationToken)).Domain;

        var definer = FindDefiner(spec.Host);
        var term = terms.Get(spec.Host);
        // What a crash left under this name is in the way of the caller who asks again.
        await TidyAsync(left => left.Host == spec.Host && left.Name == spec.Name, cancellationToken);
        if (await definer.FindDomainAsync(spec.Name, cancellationToken) is not null)
            throw NameTaken(spec);
        var image = await images.FindAsync(spec.Image.Repository, spec.Image.Name, cancellationToken);
        var size = spec.Size ?? image.Size;
        if (size < image.Size)
            throw new DeploymentRefusedException(DeploymentRefusal.SizeTooSmall, $"must be {image.Size} or more, the size of the image; was {size}.");

        var folder = options.Value.Deployment.OverlayFolder is { Length: > 0 } configured ? configured : definer.ImageFolder;
        if (!_underWay.TryAdd((spec.Host, spec.Name), new Promise(folder, size)))
            throw NameTaken(spec);
        try
        {
            // A replica that gives the host away does so after that.
            return await term.RunAsync(() => DeployAsync(definer, term, spec, image, folder, size, idempotencyKey, cancellationToken));
        }
        finally
        {
            _underWay.TryRemove((spec.Host, spec.Name), out _);
        }
    }

    /// <summary>Removes a domain that this service deployed: its stream, its definition and, where asked for, its overlay.</summary>
    /// <exception cref="DomainNotFoundException">There is no such domain, and was none that was deployed.</exception>
    /// <exception cref="DeploymentRefusedException">Somebody else made it.</exception>
    public async Task RemoveAsync(string idOrName, bool storage, CancellationToken cancellationToken)
    {
        var deployment = await FindAsync(idOrName, cancellationToken);
        await store.SetStateAsync(deployment.Domain, storage ? DeploymentState.RemovingWithStorage : DeploymentState.Removing, cancellationToken);
        // From here on it is carried through, if not by this call then by the worker.
        await FinishRemovalAsync(deployment, storage, CancellationToken.None);
    }

    /// <summary>Brings to its end what a crash, or a host that went away, left half done.</summary>
    public Task TidyAsync(CancellationToken cancellationToken) => TidyAsync(_ => true, cancellationToken);

    private async Task TidyAsync(Func<DeploymentRecord, bool> wanted, CancellationToken cancellationToken)
    {
        foreach (var left in await store.ListUnfinishedAsync(cancellationToken))
        {
            if (_underWay.ContainsKey((left.Host, left.Name)) || !wanted(left))
                continue;
            // Whose host it is sees to it.
            if (terms.Find(left.Host)?.Hypervisor is not IDomainDefiner { IsLocal: true })
                continue;
            // It may have come to its end between the list and this look: only now nobody is at work on it.
            if (await store.FindAsync(left.Domain.ToString(), cancellationToken) is not { } now || now.Domain != left.Domain || now.State == DeploymentState.Deployed)
                continue;
            try
            {
                await FinishRemovalAsync(left, storage: left.State != DeploymentState.Removing, cancellationToken);
                DeploymentLog.Tidied(logger, left.Name, left.State);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                // Whatever it is: the others must not wait for it, and it is tried again.
                DeploymentLog.NotTidied(logger, left.Name, left.State, exception.Message);
            }
        }
    }

    private async Task<DomainInfo> DeployAsync(IDomainDefiner definer, HostTerm term, DeploymentSpec spec, ImageInfo image, string folder, long size, string? idempotencyKey,
        CancellationToken cancellationToken)
    {
        OverlayFile.Prepare(folder);
        await CheckSpaceAsync(spec, folder, size, cancellationToken);
        var id = Guid.NewGuid();
        var overlay = Path.Combine(folder, $"{spec.Name}-{id.ToString("N")[..8]}.{spec.Format}");
        var (xml, target) = Describe(spec, id, overlay);
        var deployment = new DeploymentRecord
        {
            Domain = id,
            Name = spec.Name,
            Host = spec.Host,
            Image = spec.Image.ToString(),
            ImageSource = image.Source,
            ImageFingerprint = image.Fingerprint,
            Overlay = overlay,
            Target = target,
            Size = size,
            CreatedAt = time.GetUtcNow(),
            IdempotencyKey = idempotencyKey,
            State = DeploymentState.Deploying,
        };
        // On record before anything is made: whatever ends this, it will be found.
        await store.AddAsync(deployment, term.Epoch, cancellationToken);
        try
        {
            var seed = await MakeOverlayAsync(definer, spec, image, deployment, cancellationToken);
            await DefineAsync(definer, spec, id, xml, cancellationToken);
            await definer.StartAsync(id, cancellationToken);
            // An overlay that held data from the beginning does not show what its guest reads.
            await BeginStreamAsync(definer, spec, image, deployment, learn: spec.CopyOnRead && seed is null, cancellationToken);
            await store.SetStateAsync(id, DeploymentState.Deployed, cancellationToken);
            DeploymentLog.Deployed(logger, spec.Name, deployment.Image, spec.Host);
            return (await hosts.FindDomainAsync(id.ToString(), cancellationToken)).Domain;
        }
        catch (Exception exception)
        {
            DeploymentLog.Undoing(logger, spec.Name, exception.Message);
            await UndoAsync(deployment);
            throw;
        }
    }

    /// <summary>Makes the overlay; returns the seed that it was copied from, null where it holds nothing yet.</summary>
    private async Task<string?> MakeOverlayAsync(IDomainDefiner definer, DeploymentSpec spec, ImageInfo image, DeploymentRecord deployment, CancellationToken cancellationToken)
    {
        var seed = await FindSeedAsync(definer, spec, image, deployment, cancellationToken);
        if (seed is null)
            await OverlayFile.CreateAsync(deployment.Overlay, spec.Format, image.Source, image.Format, deployment.Size, time, cancellationToken);
        else
            await OverlayFile.CopyAsync(deployment.Overlay, spec.Format, seed, deployment.Size, time, cancellationToken);
        return seed;
    }

    private Task<string?> FindSeedAsync(IDomainDefiner definer, DeploymentSpec spec, ImageInfo image, DeploymentRecord deployment, CancellationToken cancellationToken) =>
        seeds.FindAsync(definer, image, spec.Format, Path.GetDirectoryName(deployment.Overlay)!, cancellationToken);

    private static async Task DefineAsync(IDomainDefiner definer, DeploymentSpec spec, Guid id, string xml, CancellationToken cancellationToken)
    {
        try
        {
            await definer.DefineAsync(id, xml, cancellationToken);
        }
        catch (HypervisorException refused) when (refused.Text.Contains("already exists with uuid", StringComparison.Ordinal))
        {
            // Somebody else was quicker. libvirt has no code for it.
            throw NameTaken(spec, refused);
        }
    }

    /// <summary>Begins the stream and, where that teaches anything, has the guest watched first.</summary>
    private async Task BeginStreamAsync(IDomainDefiner definer, DeploymentSpec spec, ImageInfo image, DeploymentRecord deployment, bool learn, CancellationToken cancellationToken)
    {
        var learnUntil = learn
            ? await learner.BeginAsync(definer, deployment, learned: token => FindSeedAsync(definer, spec, image, deployment, token), cancellationToken)
            : null;
        if (spec.Stream is not { } stream)
            return;
        var (_, domain, disk) = await hosts.FindDiskAsync(deployment.Domain.ToString(), deployment.Target, _ => true, cancellationToken);
        await streams.StartAsync(definer, domain, disk, stream with { NotBefore = learnUntil }, idempotencyKey: null, cancellationToken);
    }

    private async Task UndoAsync(DeploymentRecord deployment)
    {
        try
        {
            await FinishRemovalAsync(deployment, storage: true, CancellationToken.None);
        }
        catch (Exception exception)
        {
            // The record stays, and with it the worker's duty to try again. The caller is told of the first fault.
            DeploymentLog.NotTidied(logger, deployment.Name, deployment.State, exception.Message);
        }
    }

    /// <summary>Every step is safe to repeat.</summary>
    private async Task FinishRemovalAsync(DeploymentRecord deployment, bool storage, CancellationToken cancellationToken)
    {
        await EndStreamAsync(deployment, cancellationToken);
        await FindDefiner(deployment.Host).RemoveAsync(deployment.Domain, cancellationToken);
        if (storage)
            OverlayFile.Delete(deployment.Overlay);
        await store.RemoveAsync(deployment.Domain, cancellationToken);
    }

    private async Task EndStreamAsync(DeploymentRecord deployment, CancellationToken cancellationToken)
    {
        try
        {
            await streams.CancelAsync(new DiskAddress(deployment.Host, deployment.Domain, deployment.Target), cancellationToken);
        }
        catch (StreamNotFoundException)
        {
        }
    }

    private async Task<DeploymentRecord> FindAsync(string idOrName, CancellationToken cancellationToken)
    {
        try
        {
            var (_, domain) = await hosts.FindDomainAsync(idOrName, cancellationToken);
            return await store.FindAsync(domain.Id.ToString(), cancellationToken)
                ?? throw new DeploymentRefusedException(DeploymentRefusal.NotDeployed, $"Domain '{domain.Name}' was not deployed by this service.");
        }
        catch (DomainNotFoundException)
        {
            // Somebody else may have removed the domain: then the overlay and the record are left.
            if (await store.FindAsync(idOrName, cancellationToken) is { } deployment)
                return deployment;
            throw;
        }
    }

    private IDomainDefiner FindDefiner(string host) => hosts.Find(host) switch
    {
        null => throw new HostNotFoundException(host),
        IDomainDefiner { IsLocal: true } definer => definer,
        _ => throw new DeploymentRefusedException(DeploymentRefusal.HostNotSuitable, $"must be a host with libvirt on the service's own machine; '{host}' is not."),
    };

    private async Task CheckSpaceAsync(DeploymentSpec spec, string folder, long size, CancellationToken cancellationToken)
    {
        // Others that are being made need room for all of their disks, those that are being streamed for what is still to come.
        var growing = streams.ListActive().ToLookup(stream => stream.Disk.Domain);
        var promised = _underWay.Where(other => other.Key != (spec.Host, spec.Name) && other.Value.Folder == folder).Sum(other => other.Value.Bytes)
            + (await store.ListInAsync(folder, cancellationToken)).SelectMany(deployment => growing[deployment.Domain]).Sum(stream => stream.BytesRemaining ?? stream.Size);
        var free = OverlayFile.FreeBytes(folder);
        if (size > free - promised)
            throw new DeploymentRefusedException(DeploymentRefusal.InsufficientStorage,
                $"The disk may grow to {size} bytes, and {folder} has {free} bytes free{(promised > 0 ? $", of which {promised} are promised to others" : "")}.");
    }

    private DomainDefinition Describe(DeploymentSpec spec, Guid id, string overlay)
    {
        var deployment = options.Value.Deployment;
        var parameters = new DomainParameters(spec.Name, id, spec.MemoryMiB, spec.Vcpus, DomainType(), spec.Image.ToString(), overlay, spec.Format, spec.CopyOnRead);
        if (spec.DomainXml is not null)
            return DomainTemplate.Build(spec.DomainXml, TemplateOrigin.Caller, parameters, deployment.TemplateFolders);
        try
        {
            var template = deployment.DomainXmlFile is { Length: > 0 } file ? File.ReadAllText(file) : null;
            return DomainTemplate.Build(template, TemplateOrigin.Operator, parameters, []);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or InvalidTemplateException)
        {
            // No fault of the caller's.
            throw new HypervisorException("OperatorTemplate", $"The host's template cannot be used: {exception.Message}", exception);
        }
    }

    private string DomainType() =>
        options.Value.Deployment.DomainType is { Length: > 0 } configured ? configured
        // A /dev/kvm without the processor's own support is no help.
        : File.Exists("/dev/kvm") && File.ReadLines("/proc/cpuinfo").Any(line => line.StartsWith("flags", StringComparison.Ordinal)
            && line.Split(' ').Any(flag => flag is "vmx" or "svm")) ? "kvm"
        : "qemu";

    private static DeploymentRefusedException NameTaken(DeploymentSpec spec, Exception? inner = null) =>
        new(DeploymentRefusal.DomainExists, $"Host '{spec.Host}' has a domain '{spec.Name}' already.", inner);
}
