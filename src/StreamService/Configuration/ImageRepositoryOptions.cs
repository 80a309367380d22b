using StreamService.Deployment.Images;

namespace StreamService.Configuration;

/// <summary>A place that holds images for new domains: <c>StreamService:ImageRepositories:N</c>.</summary>
public sealed class ImageRepositoryOptions
{
    /// <summary>What callers call it.</summary>
    public string Name { get; set; } = "";

    /// <summary>
    /// A folder (<c>/srv/images</c> or <c>file:///srv/images</c>), an NBD server (<c>nbd://host:port</c> or
    /// <c>nbd+unix:///?socket=/path</c>) or a folder of a web server (<c>http://…</c>, <c>https://…</c>), each without a password.
    /// </summary>
    public string Uri { get; set; } = "";

    /// <summary>Images that are listed besides those that the repository lists itself, which a web server cannot.</summary>
    public List<string> Images { get; init; } = [];

    /// <summary>
    /// Whether an image never changes under its name. To be said of an NBD server, which tells nothing of changes: without it no data of
    /// its images is kept here for further deployments.
    /// </summary>
    public bool Immutable { get; set; }

    /// <summary>Every fault, with the member that has it.</summary>
    internal IEnumerable<(string Member, string Fault)> Faults()
    {
        if (!ImageName.IsRepository(Name))
            yield return (nameof(Name), "must be 1 to 64 letters, digits, '-', '_' or '.', and not start with a dot.");
        if (RepositoryAddress.Find(Uri, out var fault) is null)
            yield return (nameof(Uri), fault!);
        for (var i = 0; i < Images.Count; i++)
            if (!ImageName.IsValid(Images[i]))
                yield return ($"{nameof(Images)}:{i}", "is not the name of an image: letters, digits, spaces and . _ - + @ ~ = that does not start with '.', '-' or a space.");
    }
}
