using System.Collections.Concurrent;
using System.ComponentModel;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using StreamService.Configuration;
using StreamService.Hypervisors;

namespace StreamService.Deployment.Images;

/// <summary>
/// One configured place that holds images. What is found in it is inspected layer by layer: each image of a chain must lie in
/// the same repository and be usable by itself, and no program is ever given a file to probe or a link to follow.
/// </summary>
public abstract class ImageRepository(ImageRepositoryOptions options, TimeProvider time)
{
    /// <summary>What an export or image without a name is called.</summary>
    internal const string DefaultName = "default";

    /// <summary>How long it counts what was learned from a server, and why an image cannot be used: it may be mended by then.</summary>
    private protected static readonly TimeSpan Kept = TimeSpan.FromSeconds(5);

    /// <summary>Bound of one inspection, all images of the chain together.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(15);

    /// <summary>For so long after a failure others are not even tried: a list of images must not wait once for each.</summary>
    private static readonly TimeSpan UnreachableKept = TimeSpan.FromSeconds(1);

    /// <summary>Images, the one that was asked for included.</summary>
    private const int LongestChain = 32;

    private const int InspectionsAtOnce = 4;

    /// <summary>A server may take any name at all.</summary>
    private const int MostKnown = 4096;

    /// <summary>Holds one item for each inspection that goes on.</summary>
    private readonly Channel<string> _inspections = Channel.CreateBounded<string>(InspectionsAtOnce);
    private readonly ConcurrentDictionary<string, Known> _known = new();
    private volatile Failure? _failure;

    private sealed record Known(long AskedAt, Task<Inspection> Inspection);

    private sealed record Failure(long At, string Reason);

    /// <summary>One image of a chain.</summary>
    /// <param name="Name">The name by which it was asked for.</param>
    /// <param name="Source">As in <see cref="ImageInfo.Source"/>.</param>
    /// <param name="Header">Its first <see cref="ImageHeader.Length"/> bytes.</param>
    /// <param name="Stamp">Another one as soon as its bytes change.</param>
    /// <param name="ShowsEveryChange">Whether that is so for every change.</param>
    private protected sealed record Layer(string Name, string Source, byte[] Header, string Stamp, bool ShowsEveryChange);

    /// <summary>What an image's own header says of it.</summary>
    private protected sealed record Facts(long Size, int? ClusterSize, string? Backing, string? FullBacking, string? BackingFormat, bool IsEncrypted, bool HasDataFile);

    /// <summary>An image of the same repository that another names as its backing file.</summary>
    /// <param name="Source">Which source it must turn out to have; null where the name alone decides.</param>
    private protected sealed record Backing(string Name, string? Source);

    /// <summary>The outcome: the image, or why it cannot be used. With the layers that were seen on the way.</summary>
    private protected sealed record Inspection(ImageInfo? Image, string? Refusal, IReadOnlyList<Layer> Layers);

    /// <summary>The repository of the configuration, which has been found to be valid.</summary>
    internal static ImageRepository Create(ImageRepositoryOptions options, TimeProvider time) => RepositoryAddress.Find(options.Uri, out var fault) switch
    {
        { Folder: { } folder } => new FolderRepository(options, folder, time),
        { Nbd: { } server } => new NbdRepository(options, server, time),
        { Http: { } address } => new HttpRepository(options, address, time),
        _ => throw new ArgumentException(fault, nameof(options)),
    };

    /// <summary>What callers call it.</summary>
    public string Name { get; } = options.Name;

    /// <summary>As it is configured.</summary>
    public string Uri { get; } = options.Uri;

    /// <summary>Whether the operator says that images never change under their names.</summary>
    private protected bool IsImmutable { get; } = options.Immutable;

    /// <summary>The names of its images, in no order.</summary>
    /// <exception cref="RepositoryUnreachableException">The folder or server cannot be reached.</exception>
    public abstract Task<IReadOnlyList<string>> ListNamesAsync(CancellationToken cancellationToken);

    /// <summary>Which image a path or URI is, by its text alone; null where it is none of this repository.</summary>
    public abstract string? NameOf(string source);

    /// <summary>A path or URI in the form of <see cref="ImageInfo.Source"/>; null where it leads elsewhere.</summary>
    public abstract string? Canonical(string source);

    /// <summary>Inspects an image, or tells again what was found of it while it has not changed.</summary>
    /// <exception cref="ImageNotFoundException">There is none of that name.</exception>
    /// <exception cref="ImageRefusedException">It cannot be used.</exception>
    /// <exception cref="RepositoryUnreachableException">The folder or server cannot be reached.</exception>
    public async Task<ImageInfo> FindAsync(string name, CancellationToken cancellationToken)
    {
        if (!ImageName.IsValid(name))
            throw new ImageNotFoundException(Name, name);
        var known = _known.GetValueOrDefault(name);
        if (known is null || !await IsUsableAsync(known))
        {
            if (_known.Count >= MostKnown)
                _known.Clear();
            // Many may wait for one answer: one caller's leaving must not end it.
            known = new Known(time.GetTimestamp(), InspectAsync(name));
            _known[name] = known;
        }
        try
        {
            var inspection = await known.Inspection.WaitAsync(cancellationToken);
            return inspection.Image ?? throw new ImageRefusedException(new ImageName(Name, name), inspection.Refusal!);
        }
        catch (ImageNotFoundException)
        {
            _known.TryRemove(KeyValuePair.Create(name, known));
            throw;
        }
    }

    /// <summary>Reads the beginning of one image.</summary>
    /// <exception cref="ImageNotFoundException">There is none of that name.</exception>
    /// <exception cref="ImageRefusedException">It is of no use by itself.</exception>
    /// <exception cref="RepositoryUnreachableException">The folder or server cannot be reached.</exception>
    private protected abstract Task<Layer> ReadLayerAsync(string name, CancellationToken deadline);

    /// <summary>The image that a layer's header names as its backing file; null where it is none of this repository.</summary>
    private protected abstract Backing? FindBacking(Layer layer, Facts facts);

    /// <summary>Whether what was found is still to be believed.</summary>
    private protected virtual bool IsCurrent(Inspection inspection, TimeSpan age) => age < Kept;

    private protected ImageNotFoundException NotFound(string name) => new(Name, name);

    private protected ImageRefusedException Refused(string name, string reason) => new(new ImageName(Name, name), reason);

    private protected RepositoryUnreachableException Unreachable(string reason, Exception? inner = null) => new(Name, reason, inner);

    private async ValueTask<bool> IsUsableAsync(Known known) =>
        !known.Inspection.IsCompleted || (known.Inspection.IsCompletedSuccessfully && IsCurrent(await known.Inspection, time.GetElapsedTime(known.AskedAt)));

    private async Task<Inspection> InspectAsync(string name)
    {
        await _inspections.Writer.WriteAsync(name);
        try
        {
            return _failure is { } failure && time.GetElapsedTime(failure.At) < UnreachableKept
                ? throw Unreachable(failure.Reason)
                : await TryAsync(name);
        }
        finally
        {
            _inspections.Reader.TryRead(out _);
        }
    }

    private async Task<Inspection> TryAsync(string name)
    {
        using var deadline = new CancellationTokenSource(Deadline, time);
        var layers = new List<Layer>();
        try
        {
            return new Inspection(await WalkAsync(name, layers, deadline.Token), null, layers);
        }
        catch (ImageRefusedException refused)
        {
            return new Inspection(null, refused.Reason, layers);
        }
        catch (RepositoryUnreachableException unreachable)
        {
            _failure = new Failure(time.GetTimestamp(), unreachable.Reason);
            throw;
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested)
        {
            var reason = $"It did not answer within {Deadline.TotalSeconds} s.";
            _failure = new Failure(time.GetTimestamp(), reason);
            throw Unreachable(reason);
        }
    }

    private async Task<ImageInfo> WalkAsync(string name, List<Layer> layers, CancellationToken deadline)
    {
        var images = new List<ChainImage>();
        Facts? top = null;
        string? recorded = null;
        for (Backing? next = new(name, null); next is not null;)
        {
            var layer = await ReadLayerAsync(name, next, layers.Count > 0, deadline);
            if (layers.Any(above => above.Source == layer.Source))
                throw Refused(name, $"has a chain that comes back to '{layer.Name}'");
            if (layers.Count == LongestChain)
                throw Refused(name, $"has a chain of more than {LongestChain} images");
            layers.Add(layer);
            var (format, refusal) = ImageHeader.Read(layer.Header);
            if (refusal is not null)
                throw Refused(name, layer, refusal);
            // A guest writes its raw image, and could make it look like a format that names further files.
            if (recorded is not null && recorded != format)
                throw Refused(name, layer, $"is recorded as {recorded} and looks like {format}");
            var facts = await DescribeAsync(name, layer, format, deadline);
            top ??= facts;
            images.Add(new ChainImage(layer.Source, format));
            (next, recorded) = (BackingOf(name, layer, format, facts), facts.BackingFormat);
        }
        var fingerprint = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', layers.Select(layer => layer.Stamp)))));
        return new ImageInfo(Name, name, images[0].Source, images[0].Format, top!.Size, top.ClusterSize, [.. images.Skip(1)], fingerprint)
        {
            ShowsEveryChange = layers.TrueForAll(layer => layer.ShowsEveryChange),
        };
    }

    /// <summary>Refuses an image for what is wrong with it, or with one below it.</summary>
    private ImageRefusedException Refused(string name, Layer layer, string reason) =>
        Refused(name, layer.Name == name ? reason : $"has a backing file '{layer.Name}' that {reason}");

    private async Task<Layer> ReadLayerAsync(string name, Backing wanted, bool isBacking, CancellationToken deadline)
    {
        try
        {
            var layer = await ReadLayerAsync(wanted.Name, deadline);
            return wanted.Source is null || wanted.Source == layer.Source
                ? layer
                : throw Refused(name, $"has a backing file '{Show(wanted.Source)}' that is hidden by '{Show(layer.Source)}'");
        }
        catch (ImageNotFoundException) when (isBacking)
        {
            throw Refused(name, $"has a backing file '{wanted.Name}' that is not in the repository");
        }
        catch (ImageRefusedException refused) when (isBacking && refused.Image.Name != name)
        {
            throw Refused(name, $"has a backing file '{wanted.Name}' that {refused.Reason}");
        }
    }

    private Backing? BackingOf(string name, Layer layer, string format, Facts facts)
    {
        if (string.IsNullOrEmpty(facts.Backing))
            return null;
        var backing = Show(facts.Backing);
        if (FindBacking(layer, facts) is not { } found)
            throw Refused(name, layer, $"has a backing file '{backing}' that is not an image of this repository");
        if (facts.BackingFormat is null)
            throw Refused(name, layer, format == "qed"
                // The format has room for "raw" only.
                ? $"does not record the format of its backing file '{backing}', which QED can do for raw alone: convert it to qcow2"
                : $"does not record the format of its backing file '{backing}': record it with qemu-img rebase -u -b FILE -F FORMAT");
        return ImageHeader.Formats.Contains(facts.BackingFormat)
            ? found
            : throw Refused(name, layer, $"records its backing file '{backing}' as {Show(facts.BackingFormat)}; raw, qcow2 and qed can be used");
    }

    private async Task<Facts> DescribeAsync(string name, Layer layer, string format, CancellationToken deadline)
    {
        try
        {
            // -U: whoever has the image open must not be disturbed, nor keep us from looking.
            var (exitCode, output, errors) = await ChildProcesses.RunAsync("qemu-img", ["info", "-U", "-f", format, "--output=json", layer.Source], deadline);
            if (exitCode != 0)
                throw Refused(name, layer, $"cannot be read: {Show(errors.Trim().Split('\n')[0])}");
            var facts = Parse(output);
            return facts.IsEncrypted ? throw Refused(name, layer, "is encrypted")
                : facts.HasDataFile ? throw Refused(name, layer, "has its data in another file")
                : facts;
        }
        catch (Exception exception) when (exception is Win32Exception or JsonException or KeyNotFoundException or FormatException or InvalidOperationException)
        {
            throw Refused(name, layer, $"cannot be described: {exception.Message}");
        }
    }

    private static Facts Parse(string output)
    {
        using var document = JsonDocument.Parse(output);
        var info = document.RootElement;
        return new Facts(
            info.GetProperty("virtual-size").GetInt64(),
            info.TryGetProperty("cluster-size", out var cluster) ? cluster.GetInt32() : null,
            Text("backing-filename"),
            Text("full-backing-filename"),
            Text("backing-filename-format"),
            info.TryGetProperty("encrypted", out var encrypted) && encrypted.GetBoolean(),
            info.TryGetProperty("format-specific", out var specific) && specific.TryGetProperty("data", out var data) && data.TryGetProperty("data-file", out _));

        string? Text(string member) => info.TryGetProperty(member, out var value) ? value.GetString() : null;
    }

    /// <summary>Text of an image's maker, fit for a message.</summary>
    private static string Show(string text)
    {
        const int longest = 200;
        var shown = string.Concat(text.Take(longest).Select(c => char.IsControl(c) ? '?' : c));
        return text.Length > longest ? shown + "…" : shown;
    }
}
