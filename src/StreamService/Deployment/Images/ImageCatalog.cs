using Microsoft.Extensions.Options;
using StreamService.Configuration;

namespace StreamService.Deployment.Images;

/// <summary>What a repository holds.</summary>
/// <param name="LastError">Why it cannot be reached; null where it can.</param>
public sealed record RepositoryListing(ImageRepository Repository, IReadOnlyList<ImageName> Names, string? LastError);

/// <summary>An image that was found, or why it cannot be used: one of the two.</summary>
public sealed record ImageEntry(ImageName Name, ImageInfo? Image, string? Refusal);

/// <summary>The configured repositories. Nothing outside them can be named.</summary>
public sealed class ImageCatalog(IOptions<StreamServiceOptions> options, TimeProvider time)
{
    /// <summary>All repositories, in the order of the configuration.</summary>
    public IReadOnlyList<ImageRepository> Repositories { get; } =
        [.. options.Value.ImageRepositories.Select(repository => ImageRepository.Create(repository, time))];

    /// <summary>Inspects an image and its chain, or tells again what was found while it has not changed.</summary>
    /// <exception cref="ImageNotFoundException">There is no such repository or image, or that is no name of one.</exception>
    /// <exception cref="ImageRefusedException">The image cannot be used.</exception>
    /// <exception cref="RepositoryUnreachableException">The repository cannot be reached.</exception>
    public Task<ImageInfo> FindAsync(string repository, string name, CancellationToken cancellationToken) =>
        FindRepository(repository).FindAsync(name, cancellationToken);

    /// <exception cref="ImageNotFoundException">There is none of that name.</exception>
    public ImageRepository FindRepository(string name) =>
        Repositories.FirstOrDefault(repository => repository.Name == name) ?? throw new ImageNotFoundException(name);

    /// <summary>The names that each repository lists; one that cannot be reached says so, and holds up no other.</summary>
    /// <param name="repository">Only this one; null for all.</param>
    /// <exception cref="ImageNotFoundException">There is no such repository.</exception>
    public async Task<IReadOnlyList<RepositoryListing>> ListNamesAsync(string? repository, CancellationToken cancellationToken) =>
        await Task.WhenAll((repository is null ? Repositories : [FindRepository(repository)]).Select(async found =>
        {
            try
            {
                return new RepositoryListing(found, [.. (await found.ListNamesAsync(cancellationToken)).Select(name => new ImageName(found.Name, name))], null);
            }
            catch (RepositoryUnreachableException unreachable)
            {
                return new RepositoryListing(found, [], unreachable.Reason);
            }
        }));

    /// <summary>Inspects images of a list, in its order. Those that are gone meanwhile are left out.</summary>
    public async Task<IReadOnlyList<ImageEntry>> DescribeAsync(IEnumerable<ImageName> names, CancellationToken cancellationToken)
    {
        var entries = await Task.WhenAll(names.Select(async name =>
        {
            try
            {
                return new ImageEntry(name, await FindAsync(name.Repository, name.Name, cancellationToken), null);
            }
            catch (ImageNotFoundException)
            {
                return null;
            }
            catch (ImageRefusedException refused)
            {
                return new ImageEntry(name, null, refused.Reason);
            }
            catch (RepositoryUnreachableException unreachable)
            {
                return new ImageEntry(name, null, $"cannot be reached: {unreachable.Reason}");
            }
        }));
        return [.. entries.OfType<ImageEntry>()];
    }

    /// <summary>Which image a path or URI is, by its text alone; null where it is none.</summary>
    /// <param name="source">As QEMU or libvirt write it in a chain.</param>
    public (string Repository, string Name)? Locate(string source) => Repositories
        .Select(repository => repository.NameOf(source) is { } name ? (repository.Name, name) : ((string, string)?)null)
        .FirstOrDefault(found => found is not null);

    /// <summary>A path or URI of a chain as <see cref="ImageInfo.Source"/> has it; itself where it is no image of a repository.</summary>
    public string Canonical(string source) => Repositories.Select(repository => repository.Canonical(source)).FirstOrDefault(found => found is not null) ?? source;

    /// <summary>Whether a path or URI of a chain is that image, also by another spelling or a link of its folder.</summary>
    public bool IsSource(ImageInfo image, string source) => FindRepository(image.Repository).Canonical(source) == image.Source;
}
