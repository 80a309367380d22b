using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using StreamService.Configuration;
using StreamService.Hypervisors;

namespace StreamService.Deployment.Images;

/// <summary>The files of a folder of a web server, which cannot be listed: what is shown is what the configuration names.</summary>
internal sealed class HttpRepository : ImageRepository
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    /// <summary>A redirect could lead to any host.</summary>
    private static readonly HttpClient Client = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        ConnectTimeout = Deadline,
        // A server that moved is found again.
        PooledConnectionLifetime = TimeSpan.FromMinutes(1),
    })
    {
        // Every call has a deadline of its own.
        Timeout = Timeout.InfiniteTimeSpan,
    };

    private readonly Uri _folder;
    private readonly IReadOnlyList<string> _configured;
    private readonly TimeProvider _time;
    private readonly ExpiringValue<IReadOnlyList<string>> _names;

    public HttpRepository(ImageRepositoryOptions options, Uri folder, TimeProvider time) : base(options, time)
    {
        _folder = folder;
        _configured = [.. options.Images];
        _time = time;
        _names = new ExpiringValue<IReadOnlyList<string>>(AskAsync, Kept, time);
    }

    public override Task<IReadOnlyList<string>> ListNamesAsync(CancellationToken cancellationToken) => _names.GetAsync(cancellationToken);

    public override string? NameOf(string source)
    {
        if (!System.Uri.TryCreate(source, UriKind.Absolute, out var uri) || uri.Scheme != _folder.Scheme || uri.Host != _folder.Host || uri.Port != _folder.Port
            || uri.UserInfo.Length > 0 || uri.Query.Length > 0 || uri.Fragment.Length > 0)
            return null;
        // Uri tidies paths up; what matters is what another program makes of the text.
        var path = source.IndexOf('/', source.IndexOf("//", StringComparison.Ordinal) + 2) is var slash and >= 0 ? source[slash..] : "";
        return path.StartsWith(_folder.AbsolutePath, StringComparison.Ordinal)
            && System.Uri.UnescapeDataString(path[_folder.AbsolutePath.Length..]) is var name && ImageName.IsValid(name) ? name : null;
    }

    public override string? Canonical(string source) => NameOf(source) is { } name ? Address(name).AbsoluteUri : null;

    private protected override async Task<Layer> ReadLayerAsync(string name, CancellationToken deadline)
    {
        try
        {
            using var head = await SendAsync(HttpMethod.Head, name, ranged: false, deadline);
            Require(name, head, HttpStatusCode.OK);
            // QEMU asks in the same way, and takes no server that does not say so.
            if (!head.Headers.AcceptRanges.Contains("bytes"))
                throw Refused(name, "is on a server that does not offer ranges (Accept-Ranges)");
            if (head.Content.Headers.ContentLength is not { } size)
                throw Refused(name, "is on a server that does not tell its length");
            var header = size == 0 ? [] : await ReadHeaderAsync(name, size, deadline);
            var version = head.Headers.ETag?.ToString() ?? head.Content.Headers.LastModified?.ToString("O", System.Globalization.CultureInfo.InvariantCulture);
            return new Layer(name, Address(name).AbsoluteUri, header, $"{size}\n{version}\n{Convert.ToHexStringLower(SHA256.HashData(header))}",
                ShowsEveryChange: version is not null || IsImmutable);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            throw Unreachable(exception.Message, exception);
        }
    }

    /// <summary>A relative name is beside the image, as QEMU spells it out.</summary>
    private protected override Backing? FindBacking(Layer layer, Facts facts) =>
        (facts.FullBacking ?? facts.Backing!) is var text && NameOf(text) is { } name ? new Backing(name, Canonical(text)) : null;

    private async Task<byte[]> ReadHeaderAsync(string name, long size, CancellationToken deadline)
    {
        using var answer = await SendAsync(HttpMethod.Get, name, ranged: true, deadline);
        if (answer.StatusCode == HttpStatusCode.OK)
            throw Refused(name, "is on a server that does not answer with the range asked for");
        Require(name, answer, HttpStatusCode.PartialContent);
        var header = new byte[Math.Min(ImageHeader.Length, size)];
        await using var body = await answer.Content.ReadAsStreamAsync(deadline);
        var length = await body.ReadAtLeastAsync(header, header.Length, throwOnEndOfStream: false, deadline);
        return header[..length];
    }

    private static async Task<HttpResponseMessage> SendAsync(HttpMethod method, Uri address, bool ranged, CancellationToken deadline)
    {
        using var request = new HttpRequestMessage(method, address);
        if (ranged)
            request.Headers.Range = new RangeHeaderValue(0, ImageHeader.Length - 1);
        return await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, deadline);
    }

    private Task<HttpResponseMessage> SendAsync(HttpMethod method, string name, bool ranged, CancellationToken deadline) =>
        SendAsync(method, Address(name), ranged, deadline);

    private void Require(string name, HttpResponseMessage answer, HttpStatusCode expected)
    {
        if (answer.StatusCode == expected)
            return;
        throw (int)answer.StatusCode switch
        {
            404 or 410 => NotFound(name),
            429 or >= 500 => Unreachable($"The server answers {(int)answer.StatusCode} {answer.ReasonPhrase}."),
            >= 300 and < 400 => Refused(name, "is redirected elsewhere, which is not followed"),
            var status => Refused(name, $"is answered with {status} {answer.ReasonPhrase}"),
        };
    }

    /// <summary>The configured names. That the server is there is asked all the same; whatever it says of its folder.</summary>
    private async Task<IReadOnlyList<string>> AskAsync(CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(Deadline, _time);
        try
        {
            using var answer = await SendAsync(HttpMethod.Head, _folder, ranged: false, deadline.Token);
            return (int)answer.StatusCode < 500 ? _configured : throw Unreachable($"The server answers {(int)answer.StatusCode} {answer.ReasonPhrase}.");
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            throw Unreachable(exception.Message, exception);
        }
        catch (OperationCanceledException)
        {
            throw Unreachable($"It did not answer within {Deadline.TotalSeconds} s.");
        }
    }

    private Uri Address(string name) => new(_folder, System.Uri.EscapeDataString(name));
}
