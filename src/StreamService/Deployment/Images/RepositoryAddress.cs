namespace StreamService.Deployment.Images;

/// <summary>Where a repository is, read from its configured URI. One of the three is set.</summary>
/// <param name="Folder">An absolute path without a slash at its end.</param>
/// <param name="Nbd">A server with all its exports, or one export of it.</param>
/// <param name="Http">A folder of a web server, with a slash at its end.</param>
internal sealed record RepositoryAddress(string? Folder = null, NbdExportUri? Nbd = null, Uri? Http = null)
{
    private const string Kinds = "/folder, file:///folder, nbd://host:port, nbd+unix:///?socket=/path, http:// or https://";

    /// <summary>Reads a URI; null where it has a fault, in words that do not repeat a password.</summary>
    public static RepositoryAddress? Find(string text, out string? fault)
    {
        fault = null;
        if (text.Contains('\0', StringComparison.Ordinal) || !Uri.TryCreate(text, UriKind.Absolute, out var uri))
            return Fault($"is not a URI; use {Kinds}.", out fault);
        if (uri.UserInfo.Length > 0)
            return Fault("holds a user or password, which would end in the headers of overlays and the arguments of processes.", out fault);
        switch (uri.Scheme)
        {
            case "file" when uri.Host.Length == 0 && uri is { Query.Length: 0, Fragment.Length: 0 }:
                // Uri.TryCreate tidies paths up; the file system has its own idea of "..".
                var folder = text.StartsWith('/') ? text : uri.LocalPath;
                return folder.Split('/').Contains("..")
                    ? Fault($"'{text}' goes through '..'.", out fault)
                    : new RepositoryAddress(Folder: folder.TrimEnd('/') is { Length: > 0 } path ? path : "/");
            case "nbd" or "nbd+unix":
                return NbdExportUri.Find(text) is not { } server
                        ? Fault($"'{text}' is not an NBD server without options: nbd://host:port or nbd+unix:///?socket=/path.", out fault)
                    : server.Export.Length > 0 && !ImageName.IsValid(server.Export)
                        ? Fault($"'{text}' has an export that cannot be the name of an image.", out fault)
                    : new RepositoryAddress(Nbd: server);
            case "http" or "https":
                return uri is { Query.Length: 0, Fragment.Length: 0 }
                    ? new RepositoryAddress(Http: new Uri(uri.AbsoluteUri.TrimEnd('/') + "/"))
                    : Fault($"'{text}' has a query or fragment, to which no image's name can be added.", out fault);
            default:
                return Fault($"'{text}' is of a kind that is not supported; use {Kinds}.", out fault);
        }
    }

    private static RepositoryAddress? Fault(string text, out string? fault)
    {
        fault = text;
        return null;
    }
}
