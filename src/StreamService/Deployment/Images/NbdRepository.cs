using System.Security.Cryptography;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Qemu.Nbd;

namespace StreamService.Deployment.Images;

/// <summary>
/// The exports of an NBD server. One that it does not list may still be named; the one without a name is called <c>default</c>. Where
/// the configured URI names an export, that one alone.
/// </summary>
internal sealed class NbdRepository : ImageRepository
{
    /// <summary>Read from the beginning, where headers and partition tables are, for the fingerprint.</summary>
    private const int Head = 64 * 1024;

    /// <summary>Read besides, spread over the image.</summary>
    private const int Samples = 16;
    private const int SampleLength = 4096;

    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    private readonly NbdExportUri _server;
    private readonly IReadOnlyList<string> _configured;
    private readonly NbdClientOptions _options;
    private readonly ExpiringValue<IReadOnlyList<string>> _names;

    public NbdRepository(ImageRepositoryOptions options, NbdExportUri server, TimeProvider time) : base(options, time)
    {
        _server = server;
        _configured = [.. options.Images];
        _options = new NbdClientOptions { ConnectTimeout = ConnectTimeout, TimeProvider = time };
        _names = new ExpiringValue<IReadOnlyList<string>>(AskNamesAsync, Kept, time);
    }

    private bool IsOneExport => _server.Export.Length > 0;

    public override Task<IReadOnlyList<string>> ListNamesAsync(CancellationToken cancellationToken) => _names.GetAsync(cancellationToken);

    public override string? NameOf(string source) =>
        Export(source) is { } export && NameOfExport(export.Export) is var name && ImageName.IsValid(name) && (!IsOneExport || name == _server.Export) ? name : null;

    public override string? Canonical(string source) => Export(source)?.ToString();

    private protected override async Task<Layer> ReadLayerAsync(string name, CancellationToken deadline)
    {
        if (IsOneExport && name != _server.Export)
            throw NotFound(name);
        try
        {
            return await ReadExportAsync(name, name, deadline);
        }
        catch (NbdRefusedException refused) when (refused.IsUnknownExport && name != DefaultName)
        {
            throw NotFound(name);
        }
        catch (NbdRefusedException refused) when (refused.IsUnknownExport)
        {
            return await ReadDefaultAsync(name, deadline);
        }
        catch (NbdRefusedException refused)
        {
            throw Refused(name, $"cannot be read: {refused.Message}");
        }
        catch (NbdCommandException refused)
        {
            throw Refused(name, $"cannot be read: {refused.Message}");
        }
        catch (NbdException broken)
        {
            throw Unreachable(broken.Message, broken);
        }
    }

    private protected override Backing? FindBacking(Layer layer, Facts facts) =>
        // A name that is no URI has no meaning beside an export.
        Export(facts.Backing!) is { } export && NameOf(facts.Backing!) is { } name ? new Backing(name, export.ToString()) : null;

    private async Task<Layer> ReadDefaultAsync(string name, CancellationToken deadline)
    {
        try
        {
            return await ReadExportAsync(name, "", deadline);
        }
        catch (NbdRefusedException refused)
        {
            throw refused.IsUnknownExport ? NotFound(name) : Refused(name, $"cannot be read: {refused.Message}");
        }
        catch (NbdCommandException refused)
        {
            throw Refused(name, $"cannot be read: {refused.Message}");
        }
        catch (NbdException broken)
        {
            throw Unreachable(broken.Message, broken);
        }
    }

    private async Task<Layer> ReadExportAsync(string name, string export, CancellationToken deadline)
    {
        await using var client = await NbdClient.ConnectAsync(_server.EndPoint, export, _options, deadline);
        var size = client.Export.Size;
        var part = Math.Max(client.Export.MinimumBlockSize, Math.Min(SampleLength, client.Export.MaximumPayload));
        var places = Enumerable.Range(0, Head / part).Select(i => (long)i * part)
            .Concat(Enumerable.Range(0, Samples).Select(i => size / Samples * i / part * part))
            .Where(offset => offset < size)
            .Distinct().Order().ToList();
        var parts = places.ConvertAll(offset => new byte[Math.Min(part, size - offset)]);
        await Task.WhenAll(places.Select((offset, i) => client.ReadAsync(offset, parts[i], deadline)));
        var sample = parts.SelectMany(bytes => bytes).ToArray();
        return new Layer(
            name,
            (_server with { Export = export }).ToString(),
            sample[..Math.Min(ImageHeader.Length, sample.Length)],
            $"{size}\n{Convert.ToHexStringLower(SHA256.HashData(sample))}",
            ShowsEveryChange: IsImmutable);
    }

    private async Task<IReadOnlyList<string>> AskNamesAsync(CancellationToken cancellationToken)
    {
        try
        {
            var listed = await NbdClient.ListExportsAsync(_server.EndPoint, _options, cancellationToken);
            return IsOneExport ? [_server.Export] : [.. _configured.Union(listed.Select(NameOfExport).Where(ImageName.IsValid))];
        }
        catch (NbdRefusedException refused) when (refused.IsUnsupported)
        {
            return IsOneExport ? [_server.Export] : _configured;
        }
        catch (NbdException exception)
        {
            throw Unreachable(exception.Message, exception);
        }
    }

    private NbdExportUri? Export(string source) => NbdExportUri.Find(source) is { } export && export.IsBeside(_server) ? export : null;

    private static string NameOfExport(string export) => export.Length == 0 ? DefaultName : export;
}
