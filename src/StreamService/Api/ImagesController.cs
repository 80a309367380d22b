using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Mvc;
using StreamService.Deployment.Images;
using StreamService.Fleet;
using StreamService.Qemu.Disks;
using StreamService.Security;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>The images that new domains are deployed from.</summary>
[ApiController]
[Route("images")]
public sealed class ImagesController(ImageCatalog catalog, DeploymentStore deployments, VisibleHosts hosts, Peers peers) : ControllerBase
{
    /// <summary>Repository and name.</summary>
    private const int CursorParts = 2;

    /// <summary>The images of all repositories that can be reached, by repository and name; also those that cannot be used, with the reason.</summary>
    /// <param name="repository">Only this one's.</param>
    /// <param name="limit">At most so many, 1 to 1000.</param>
    /// <param name="cursor">Where the page before ended.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ImagePage>(StatusCodes.Status200OK, "application/json")]
    public async Task<ImagePage> ListAsync(string? repository, [Range(1, 1000)] int limit = 100, [Cursor(CursorParts)] string? cursor = null, CancellationToken cancellationToken = default)
    {
        var after = Cursor.Read(cursor, CursorParts);
        var listings = await catalog.ListNamesAsync(repository, cancellationToken);
        var page = listings
            .SelectMany(listing => listing.Names)
            .Select(image => (Image: image, Key: new[] { image.Repository, image.Name }))
            .OrderBy(item => item.Key, OrdinalKeys.Comparer)
            .Where(item => after is null || OrdinalKeys.Comparer.Compare(item.Key, after) > 0)
            .Take(limit + 1)
            .ToList();
        // Only what is shown is inspected: each image costs a process at first.
        var entries = await catalog.DescribeAsync(page.Take(limit).Select(item => item.Image), cancellationToken);
        return new ImagePage(
            [.. entries.Select(ImageView.From)],
            page.Count > limit ? Cursor.Write(page[limit - 1].Key) : null,
            [.. listings.Select(RepositoryView.From)]);
    }

    /// <summary>One image, also one that is not listed, with the disks that use it.</summary>
    /// <param name="repository">The configured name of its repository.</param>
    /// <param name="name">Its name there.</param>
    [HttpGet("{repository}/{name}")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
    [ProducesResponseType<ImageDetailsView>(StatusCodes.Status200OK, "application/json")]
    public async Task<ImageDetailsView> GetAsync(string repository, string name, CancellationToken cancellationToken)
    {
        try
        {
            var image = await catalog.FindAsync(repository, name, cancellationToken);
            var others = await peers.AskAllAsync<ImageDetailsView>(HttpContext);
            var users = (await FindUsersAsync(image, cancellationToken)).Concat(others.SelectMany(other => other.Users))
                .OrderBy(user => (user.Host, user.DomainName, user.Disk));
            return ImageDetailsView.From(new ImageEntry(new ImageName(repository, name), image, null), [.. users]);
        }
        catch (ImageRefusedException refused)
        {
            return ImageDetailsView.From(new ImageEntry(refused.Image, null, refused.Reason), []);
        }
    }

    private async Task<IReadOnlyList<ImageUserView>> FindUsersAsync(ImageInfo image, CancellationToken cancellationToken)
    {
        var deployed = (await deployments.ListFromAsync(image.Source, cancellationToken)).ToDictionary(deployment => deployment.Domain);
        return
        [
            .. from domain in await hosts.ListDomainsAsync(host: null, cancellationToken)
               from disk in domain.Disks
               where disk.BackingChain.Any(layer => catalog.IsSource(image, ImageSource.Of(layer.Source)))
               select new ImageUserView(domain.Host, domain.Id, domain.Name, disk.Target,
                   deployed.TryGetValue(domain.Id, out var deployment) ? deployment.ImageFingerprint != image.Fingerprint : null),
        ];
    }
}
